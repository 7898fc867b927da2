"""Where videos come from: one class for each kind of data set in the config.

A source knows how many videos a split has, what made them, and yields any range of them.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Protocol

import mujoco
from numpy.typing import NDArray

from ocvp.config import Dataset, Split, TabletopDataset
from ocvp.tabletop import simulate
from ocvp.tabletop_scene import camera_of


class VideoSource(Protocol):
    """One split of a data set."""

    num_videos: int
    """Videos of the split."""

    def attributes(self) -> dict[str, Any]:
        """Return what a video file says of its source: fps, source and, where known, camera."""

    def videos(self, start: int, stop: int) -> Iterator[tuple[str, dict[str, NDArray]]]:
        """Yield name and fields (see `ocvp.videos.FIELDS`) of the videos `start` to `stop` - 1."""


class TabletopVideos:
    """Videos that are simulated (see `ocvp.tabletop`)."""

    def __init__(self, dataset: TabletopDataset, split: Split) -> None:
        self._dataset = dataset
        self._split = split
        self.num_videos: int = getattr(dataset.num_videos, split)

    def attributes(self) -> dict[str, Any]:
        """Return rate, simulator and camera; there are no raw files."""
        source = {"kind": "tabletop", "files": [], "mujoco": mujoco.mj_versionString()}
        camera = asdict(camera_of(self._dataset.resolution))
        return {
            "fps": self._dataset.fps,
            "source": json.dumps(source, sort_keys=True),
            "camera": json.dumps(camera, sort_keys=True),
        }

    def videos(self, start: int, stop: int) -> Iterator[tuple[str, dict[str, NDArray]]]:
        """Simulate videos one after the other."""
        dataset = self._dataset
        for video in range(start, stop):
            arrays = simulate(
                resolution=dataset.resolution,
                num_frames=dataset.num_frames,
                num_objects=dataset.num_objects,
                fps=dataset.fps,
                fields=dataset.fields,
                seed=dataset.seed,
                split=self._split,
                video=video,
            )
            yield f"{self._split}_{video:05d}", arrays


SOURCES: dict[str, Callable[[Any, Split], VideoSource]] = {"tabletop": TabletopVideos}


def open_source(dataset: Dataset, split: Split) -> VideoSource:
    """Return the source of one split of a data set."""
    return SOURCES[dataset.kind](dataset, split)
