"""Videos of one's own as a source: folders of pictures, or films, with masks where there are any.

T frames, H W pixels, K objects.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocvp.config.datasets import FolderDataset
from ocvp.config.section import Split
from ocvp.data.frame_files import count_frames, load_picture, read_film, read_pictures
from ocvp.data.mask_boxes import mask_boxes
from ocvp.data.raw_videos import FILMS, RawVideo
from ocvp.data.resizing import WHOLE, Crop, choose_crop, resize_frame, resize_labels
from ocvp.data.videos import Video

LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
"""Pillow's modes of pictures with one number a pixel: black and white, gray, palette."""
MAX_OBJECTS = 255  # masks are stored as uint8, 0 is the background
VOID = 255  # what several data sets write where nobody knows which object it is


class FolderVideos:
    """The videos of one split.

    Args:
        dataset: Where they lie and what to make of them.
        split: The split.
        videos: The videos; their files are relative to the data set's root.
    """

    def __init__(self, dataset: FolderDataset, split: Split, videos: Sequence[RawVideo]) -> None:
        self._dataset = dataset
        self._root = Path(dataset.root)
        self._videos = videos
        self.num_videos = len(videos)

    def attributes(self) -> dict[str, Any]:
        """Return nothing: the videos of a folder need not share a rate."""
        return {}

    def videos(self, start: int, stop: int) -> Iterator[Video]:
        """Yield the videos `start` to `stop` - 1.

        Fields are frames uint8 (T, H, W, 3) and, where the data set has masks, masks uint8
        (T, H, W) and boxes float32 (T, K, 4), the edges of the masks as fractions of the frame.
        The objects of a video are numbered from 1 in the order of the values in its masks;
        metadata say what these values were (`mask_values`).

        Raises:
            ValueError: If a file is missing or damaged, a video is too short, a picture has
                another size than the others of its video, or a mask is none, naming the file.
        """
        for video in self._videos[start:stop]:
            frames, size, crop = self._frames(video)
            arrays: dict[str, NDArray] = {"frames": frames}
            metadata: dict[str, Any] = {"source": _source(video), "crop": list(crop)}
            if self._dataset.masks is not None:
                masks, values = self._masks(video, size, crop)
                arrays["masks"] = masks
                arrays["boxes"] = mask_boxes(masks, self._dataset.max_objects)
                metadata["mask_values"] = values
            yield Video(video.name, arrays, metadata)

    def _frames(self, video: RawVideo) -> tuple[NDArray[np.uint8], tuple[int, int], Crop]:
        """Return frames, and height and width of the source, and the part of it that is used."""
        dataset = self._dataset
        size, crop, frames = (0, 0), WHOLE, []
        for picture in self._pictures(video):
            size = (picture.height, picture.width)
            crop = choose_crop(size, dataset.resolution, dataset.fit)
            frames.append(resize_frame(picture, dataset.resolution, dataset.resize, crop))
        if len(frames) < dataset.num_frames:
            needed = dataset.start + dataset.stride * (dataset.num_frames - 1) + 1
            number = count_frames(self._root / video.files[0]) if _is_film(video) else len(frames)
            raise ValueError(
                f"video {video.name} ({self._root / _source(video)}) has {number} frames; start "
                f"{dataset.start}, stride {dataset.stride} and num_frames {dataset.num_frames} "
                f"need {needed}"
            )
        return np.stack(frames), size, crop

    def _pictures(self, video: RawVideo) -> Iterator[Image.Image]:
        dataset = self._dataset
        paths = [self._root / file for file in video.files]
        if not _is_film(video):
            return read_pictures(paths)
        stop = dataset.start + dataset.stride * dataset.num_frames
        return read_film(paths[0], dataset.start, stop, dataset.stride)

    def _masks(
        self, video: RawVideo, size: tuple[int, int], crop: Crop
    ) -> tuple[NDArray[np.uint8], list[int]]:
        """Return masks with the objects numbered from 1, and the value that each had."""
        dataset = self._dataset
        if len(video.masks) != dataset.num_frames:
            raise ValueError(
                f"video {video.name} ({self._root / _source(video)}) has {len(video.masks)} masks; "
                f"num_frames is {dataset.num_frames}, and each frame needs a mask"
            )
        labels = np.stack(  # (T, H, W)
            [
                resize_labels(_read_mask(self._root / file, size), dataset.resolution, crop)
                for file in video.masks
            ]
        )
        # Values may be any; 0 keeps its place as the background, and the others follow in order.
        values = [int(value) for value in np.unique(labels) if value != 0]
        self._check_values(video, values)
        return np.searchsorted([0, *values], labels).astype(np.uint8), values

    def _check_values(self, video: RawVideo, values: list[int]) -> None:
        folder = self._root / Path(video.masks[0]).parent
        if len(values) > 1 and values[-1] == VOID:
            raise ValueError(
                f"the masks in {folder} hold {VOID} beside {_listed(values[:-1])}; {VOID} marks an "
                "object only in black and white masks, elsewhere it often stands for what is "
                "unknown: write 0 (background) or another number there"
            )
        if len(values) > self._dataset.max_objects:
            raise ValueError(
                f"the masks in {folder} hold {len(values)} objects ({_listed(values)}), but "
                f"max_objects is {self._dataset.max_objects}; give at least {len(values)}"
            )
        if len(values) > MAX_OBJECTS:
            raise ValueError(
                f"the masks in {folder} hold {len(values)} objects; at most {MAX_OBJECTS} can be "
                "stored"
            )


def _read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return the values of one mask, whose frame has this height and width."""
    picture = load_picture(path)
    if picture.format == "JPEG":
        raise ValueError(
            f"{path} is a JPEG picture, which blurs the objects' numbers; masks must be PNG"
        )
    if picture.mode not in LABEL_MODES:
        raise ValueError(
            f"{path} is a picture in colour (Pillow's mode {picture.mode}); a mask must be a gray "
            "or palette PNG, whose values are the objects' numbers, 0 for the background"
        )
    if (picture.height, picture.width) != size:
        raise ValueError(
            f"{path} is {picture.width}x{picture.height}, the frames of its video are "
            f"{size[1]}x{size[0]}; a mask must have the size of its frame"
        )
    return np.asarray(picture).astype(np.int64)


def _is_film(video: RawVideo) -> bool:
    return len(video.files) == 1 and Path(video.files[0]).suffix.lower() in FILMS


def _source(video: RawVideo) -> str:
    """Return the film, or the folder of the pictures, relative to the data set's root."""
    first = Path(video.files[0])
    return (first if _is_film(video) else first.parent).as_posix()


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
