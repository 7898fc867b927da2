"""Where videos come from: the one table of kinds of data sets.

Each kind has a folder `ocvp/data/KIND/` with two modules: `files` lists the raw files of its videos
(and may check them), `videos` has the class that reads them. Both are loaded by need, so that a
change of one kind concerns only its own data sets, and nothing heavy is imported where the workflow
only lists.
"""

import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ocvp.config.datasets import AnyDataset
from ocvp.config.section import Split

if TYPE_CHECKING:
    from ocvp.data.raw_videos import RawVideo
    from ocvp.data.videos import Video

SOURCES = {
    "tabletop": "TabletopVideos",
    "obj3d": "Obj3dVideos",
    "movi": "MoviVideos",
    "folder": "FolderVideos",
}
"""Kind of data set to the class that reads its videos, a `VideoSource`."""


class VideoSource(Protocol):
    """One split of a data set."""

    num_videos: int
    """Videos of the split."""

    def attributes(self) -> dict[str, Any]:
        """Return what a video file says of its source, where known: fps, camera, source."""

    def videos(self, start: int, stop: int) -> "Iterator[Video]":
        """Yield the videos `start` to `stop` - 1."""


def open_source(dataset: AnyDataset, split: Split, videos: "Sequence[RawVideo]") -> VideoSource:
    """Return the source of one split of a data set.

    Args:
        dataset: The data set.
        split: The split.
        videos: All its videos (see `ocvp.data.raw_files.list_videos`).
    """
    module = importlib.import_module(source_modules(dataset.kind)[0])
    source: VideoSource = getattr(module, SOURCES[dataset.kind])(dataset, split, videos)
    return source


def files_of(dataset: AnyDataset) -> Any:
    """Return the module that lists a data set's videos (`list_videos`)."""
    return importlib.import_module(source_modules(dataset.kind)[1])


def source_modules(kind: str) -> tuple[str, str]:
    """Return the modules that are loaded by need for a kind of data set: `videos` and `files`."""
    return f"ocvp.data.{kind}.videos", f"ocvp.data.{kind}.files"
