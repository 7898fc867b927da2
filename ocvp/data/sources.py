"""Where videos come from: one class for each kind of data set in the config.

A source knows how many videos a split has, what made them, and yields any range of them. Its module
is loaded by need, so that a change of one kind of source concerns only the data sets of this kind.
"""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ocvp.config.datasets import AnyDataset
from ocvp.config.section import Split
from ocvp.data.raw_videos import RawVideo
from ocvp.data.videos import Video
from ocvp.records.rules import SOURCE_MODULES

SOURCES = {
    "tabletop": "TabletopVideos",
    "obj3d": "Obj3dVideos",
    "movi": "MoviVideos",
    "folder": "FolderVideos",
}
"""Kind of data set to the class of its source, in the module `videos` of its folder."""


class VideoSource(Protocol):
    """One split of a data set."""

    num_videos: int
    """Videos of the split."""

    def attributes(self) -> dict[str, Any]:
        """Return what a video file says of its source, where known: fps, camera, source."""

    def videos(self, start: int, stop: int) -> Iterator[Video]:
        """Yield the videos `start` to `stop` - 1."""


def open_source(dataset: AnyDataset, split: Split, videos: Sequence[RawVideo]) -> VideoSource:
    """Return the source of one split of a data set.

    Args:
        dataset: The data set.
        split: The split.
        videos: All its videos (see `ocvp.data.raw_files.list_videos`).
    """
    module = importlib.import_module(SOURCE_MODULES[dataset.kind][0])
    source: VideoSource = getattr(module, SOURCES[dataset.kind])(dataset, split, videos)
    return source
