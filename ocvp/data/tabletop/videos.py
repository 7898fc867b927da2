"""The embedded data set as a source of videos (see `ocvp.data.tabletop.simulation`)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import mujoco

from ocvp.config.datasets import TabletopDataset
from ocvp.config.section import Split
from ocvp.data.raw_videos import RawVideo
from ocvp.data.tabletop.scene import camera_of
from ocvp.data.tabletop.simulation import simulate
from ocvp.data.videos import Video


class TabletopVideos:
    """Videos that are simulated.

    Args:
        dataset: What is simulated.
        split: The split.
        videos: Their names.
    """

    def __init__(self, dataset: TabletopDataset, split: Split, videos: Sequence[RawVideo]) -> None:
        self._dataset = dataset
        self._split = split
        self._names = [video.name for video in videos]
        self.num_videos = len(videos)

    def attributes(self) -> dict[str, Any]:
        """Return rate, camera and simulator."""
        camera = asdict(camera_of(self._dataset.resolution))
        return {
            "fps": self._dataset.fps,
            "camera": json.dumps(camera, sort_keys=True),
            "source": json.dumps({"mujoco": mujoco.mj_versionString()}),
        }

    def videos(self, start: int, stop: int) -> Iterator[Video]:
        """Simulate videos one after the other."""
        for video in range(start, stop):
            yield Video(self._names[video], simulate(self._dataset, self._split, video))
