"""Videos of one's own as a source: folders of pictures, or films, with masks where there are any.

T frames, H W pixels, K objects.
"""

import collections
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocvp.config.datasets import FolderDataset
from ocvp.config.section import Split
from ocvp.data.films import Film, Pace
from ocvp.data.folder.files import are_all_frames, first_film
from ocvp.data.folder.masks import read_masks
from ocvp.data.folder.paces import describe_paces
from ocvp.data.frame_files import read_pictures
from ocvp.data.mask_boxes import mask_boxes
from ocvp.data.picture_series import read_series
from ocvp.data.raw_videos import FILMS, RawVideo
from ocvp.data.resizing import WHOLE, Crop, choose_crop, resize_frame
from ocvp.data.videos import Video

logger = logging.getLogger(__name__)


class Frames(NamedTuple):
    """The frames of a video that are stored."""

    pixels: NDArray[np.uint8]
    """Shape (T, H, W, 3)."""
    size: tuple[int, int]
    """Height and width of the source."""
    crop: Crop
    """The part of the source that is used."""
    pace: Pace | None
    """How they lie in time; None where that is not known."""


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
        """Return the rate, where films are sampled at one; else they need not share any."""
        fps = self._dataset.fps
        return {} if fps is None else {"fps": fps / self._dataset.stride}

    def videos(self, start: int, stop: int) -> Iterator[Video]:
        """Yield the videos `start` to `stop` - 1.

        Fields are frames uint8 (T, H, W, 3) and, where the data set has masks, masks uint8
        (T, H, W) and boxes float32 (T, K, 4), the edges of the masks as fractions of the frame.
        The objects of a video are numbered from 1 in the order of the values in its masks;
        metadata say what these values were (`mask_values`).

        At the end, films whose frames are not evenly spaced in time, or not as in other films, are
        told in one warning.

        Raises:
            ValueError: If a file is missing or damaged, a video is too short, a picture has
                another size than the others of its video, or a mask is none, naming the file.
        """
        paces: dict[str, Pace] = {}
        for video in self._videos[start:stop]:
            frames = self._frames(video)
            if frames.pace is not None:
                paces[_source(video)] = frames.pace
            arrays: dict[str, NDArray] = {"frames": mirrored(frames.pixels, video.mirror)}
            metadata: dict[str, Any] = {"source": _source(video), "crop": list(frames.crop)}
            if self._dataset.masks is not None:
                masks, values = self._masks(video, frames.size, frames.crop)
                arrays["masks"] = mirrored(masks, video.mirror)
                arrays["boxes"] = mask_boxes(arrays["masks"], self._dataset.max_objects)
                metadata["mask_values"] = values
            yield Video(video.name, arrays, metadata)
        text = describe_paces(paces, self._dataset.fps, self._first_film(paces))
        if text:
            logger.warning("%s: %s", self._root / self._dataset.frames, text)

    def _frames(self, video: RawVideo) -> Frames:
        dataset = self._dataset
        path = self._root / _source(video)
        film = Film(path, dataset.fps) if _is_film(video) else None
        size, crop, frames = (0, 0), WHOLE, []
        files = (self._root / file for file in video.files)
        for picture in read_pictures(files) if film is None else self._read(film):
            size = (picture.height, picture.width)
            crop = choose_crop(size, dataset.resolution, dataset.fit)
            frames.append(resize_frame(picture, dataset.resolution, dataset.resize, crop))
        if len(frames) < dataset.num_frames:
            needed = dataset.start + dataset.stride * (dataset.num_frames - 1) + 1
            number = len(frames) if film is None else film.count()
            rate = "" if dataset.fps is None else f" at fps {dataset.fps:g}"
            raise ValueError(
                f"video {video.name} ({path}) has {number} frames{rate}; start {dataset.start}, "
                f"stride {dataset.stride} and num_frames {dataset.num_frames} need {needed}"
            )
        return Frames(np.stack(frames), size, crop, None if film is None else film.pace)

    def _read(self, film: Film) -> Iterator[Image.Image]:
        """Read the frames of a film that are stored."""
        dataset = self._dataset
        stop = dataset.start + dataset.stride * (dataset.num_frames - 1) + 1
        return film.read(dataset.start, stop, dataset.stride)

    def _first_film(self, paces: Mapping[str, Pace]) -> tuple[str, Pace] | None:
        """Return the film that the others of all splits are compared with, and its pace."""
        path = first_film(self._dataset) if paces and self._dataset.fps is None else None
        if path is None:
            return None
        name = path.relative_to(self._root).as_posix()
        if name not in paces:
            film = Film(path)
            collections.deque(self._read(film), maxlen=0)
            return None if film.pace is None else (name, film.pace)
        return name, paces[name]

    def _masks(
        self, video: RawVideo, size: tuple[int, int], crop: Crop
    ) -> tuple[NDArray[np.uint8], list[int] | list[str]]:
        """Return masks with the objects numbered from 1, and the value that each had."""
        dataset = self._dataset
        path = self._root / _source(video)
        if len(video.masks) != dataset.num_frames:
            raise ValueError(
                f"video {video.name} ({path}) has {len(video.masks)} masks; "
                f"num_frames is {dataset.num_frames}, and each frame needs a mask"
            )
        paths = [self._root / file for file in video.masks]
        if _is_film(video):
            _check_numbering(path, paths[0].parent)
        return read_masks(paths, size, dataset.resolution, crop, dataset.max_objects)


def mirrored(pictures: NDArray[np.uint8], way: int) -> NDArray[np.uint8]:
    """Mirror pictures.

    Args:
        pictures: Shape (T, H, W, ...); square for ways of 4 and more.
        way: 0 to 7, whose bits say along what: 1 left to right, 2 upside down, 4 at the diagonal.

    Returns:
        Pictures of the same shape.
    """
    if way & 1:
        pictures = np.flip(pictures, axis=2)
    if way & 2:
        pictures = np.flip(pictures, axis=1)
    if way & 4:
        pictures = pictures.swapaxes(1, 2)
    return np.ascontiguousarray(pictures)


def _check_numbering(film: Path, folder: Path) -> None:
    """Raise ValueError where the length of a film leaves open which frame a mask belongs to."""
    masks = read_series(folder)
    is_from_one = masks[0].number == 1 and masks[-1].number == len(masks)
    if not is_from_one and not are_all_frames(masks):
        return
    missing = (count := Film(film).count()) - len(masks)
    # From 1 on, one mask less than frames: the last one may be missing, or that of a frame 0.
    if missing and not (is_from_one and missing > 1):
        first, last = masks[0].path.name, masks[-1].path.name
        raise ValueError(
            f"{folder} holds {len(masks)} masks, {first} to {last}, and {film} has {count} frames, "
            "so it is not clear which frame each belongs to; number masks like the frames, from 0, "
            "or give one for each frame"
        )


def _is_film(video: RawVideo) -> bool:
    return len(video.files) == 1 and Path(video.files[0]).suffix.lower() in FILMS


def _source(video: RawVideo) -> str:
    """Return the film, or the folder of the pictures, relative to the data set's root."""
    first = Path(video.files[0])
    return (first if _is_film(video) else first.parent).as_posix()
