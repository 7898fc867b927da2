"""OBJ3D as a source of videos: folders of numbered PNG files, without annotations.

T frames, H W pixels. Every episode is used, and of each the frames that are listed
(`ocvp.data.raw_files`), in the order of their numbers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ocvp.config.datasets import Obj3dDataset
from ocvp.config.section import Split
from ocvp.data.frame_files import read_pictures
from ocvp.data.raw_videos import RawVideo
from ocvp.data.resizing import resize_frame
from ocvp.data.videos import Video


class Obj3dVideos:
    """The episodes of one split.

    Args:
        dataset: Where they lie and what to make of them.
        split: The split.
        videos: The episodes; their files are relative to the data set's root.
    """

    def __init__(self, dataset: Obj3dDataset, split: Split, videos: Sequence[RawVideo]) -> None:
        self._dataset = dataset
        self._videos = videos
        self.num_videos = len(videos)

    def attributes(self) -> dict[str, Any]:
        """Return nothing: neither the rate nor the camera of these videos is known."""
        return {}

    def videos(self, start: int, stop: int) -> Iterator[Video]:
        """Yield the episodes `start` to `stop` - 1: frames uint8 (T, H, W, 3).

        Frames are stretched to the data set's resolution, as by the published loader.

        Raises:
            ValueError: If a frame is missing, damaged, or of another size than the first of its
                episode, naming the file.
        """
        dataset = self._dataset
        for video in self._videos[start:stop]:
            paths = [Path(dataset.root) / file for file in video.files]
            frames = [
                resize_frame(picture, dataset.resolution, dataset.resize)
                for picture in read_pictures(paths)
            ]
            episode = Path(video.files[0]).parent.as_posix()
            yield Video(video.name, {"frames": np.stack(frames)}, {"source": episode})
