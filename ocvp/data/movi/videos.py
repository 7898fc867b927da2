"""MOVi-A to MOVi-E as a source of videos: TFRecord files, read without TensorFlow.

T frames, H W pixels that are stored, S side of the frames on disk, K objects.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocvp.config.datasets import MoviDataset
from ocvp.config.section import Split
from ocvp.data.movi.metadata import read_class_names, scene_metadata
from ocvp.data.movi.records import ABSENT, MoviRecord
from ocvp.data.movi.tfrecord import Record, read_records
from ocvp.data.raw_videos import RawVideo
from ocvp.data.resizing import resize_frame, resize_labels
from ocvp.data.videos import Video

SOURCE_FPS = 12.0
"""Frames a second on disk, in all variants."""


class MoviVideos:
    """Videos of one split.

    Args:
        dataset: Which data set, and what is stored of it.
        split: The split.
        videos: The shard of each video, and its position there.
    """

    def __init__(self, dataset: MoviDataset, split: Split, videos: Sequence[RawVideo]) -> None:
        self._dataset = dataset
        self._videos = videos
        self.num_videos = len(videos)

    def attributes(self) -> dict[str, Any]:
        """Return the rate of the frames that are stored."""
        return {"fps": SOURCE_FPS / self._dataset.stride}

    def videos(self, start: int, stop: int) -> Iterator[Video]:
        """Yield videos one after the other.

        Raises:
            OSError: If a shard cannot be read.
            ValueError: If a record is damaged or does not fit the config, naming its shard and its
                offset.
        """
        # Videos are in the order of the shards, so each shard is opened once.
        videos = self._videos[start:stop]
        for shard, group in itertools.groupby(videos, key=lambda video: video.files[0]):
            path = Path(self._dataset.root) / shard
            class_names = read_class_names(path.parent)
            for record in read_records(path, [video.record for video in group]):
                try:
                    video = self._video(record, class_names)
                except ValueError as error:
                    where = f"{path}: the record at byte {record.offset}"
                    raise ValueError(f"{where}: {error}") from None
                yield video

    def _video(self, record: Record, class_names: dict[str, list[str]]) -> Video:
        dataset = self._dataset
        source = MoviRecord(record.data, side=dataset.source_resolution)
        frames = self._frames(source)
        pictures = map(Image.fromarray, source.video(frames))
        resized = [resize_frame(each, dataset.resolution, dataset.resize) for each in pictures]
        arrays: dict[str, NDArray] = {
            "frames": np.stack(resized),
            "masks": self._reduced(source.segmentations(frames)),
            "boxes": self._padded(source, source.boxes(frames)),
        }
        # Motion is in pixels of S on disk, and stored in pixels of H and W.
        factors = np.array(dataset.resolution, np.float32) / dataset.source_resolution  # (2,)
        for field, read in {"flow": source.flow, "backward_flow": source.backward_flow}.items():
            if field in dataset.fields:
                arrays[field] = self._reduced(read(frames)) * factors.astype(np.float32)
        if "depth" in dataset.fields:
            arrays["depth"] = self._reduced(source.depth(frames))
        return Video(source.name, arrays, scene_metadata(source, class_names))

    def _frames(self, source: MoviRecord) -> range:
        """Return the frames to store."""
        dataset = self._dataset
        frames = range(0, dataset.num_frames * dataset.stride, dataset.stride)
        if frames[-1] >= source.num_frames:
            raise ValueError(
                f"video {source.name} has {source.num_frames} frames; num_frames "
                f"{dataset.num_frames} with stride {dataset.stride} needs {frames[-1] + 1}"
            )
        return frames

    def _reduced(self, values: NDArray) -> NDArray:
        """Take every n-th pixel, shape (T, S, S, ...) to (T, H, W, ...)."""
        return np.stack([resize_labels(frame, self._dataset.resolution) for frame in values])

    def _padded(self, source: MoviRecord, boxes: NDArray) -> NDArray[np.float32]:
        """Fill up with absent objects, shape (T, K, 4) to (T, max_objects, 4)."""
        num_rows = self._dataset.max_objects
        if source.num_objects > num_rows:
            raise ValueError(
                f"video {source.name} has {source.num_objects} objects; max_objects is {num_rows}, "
                f"so set it to {source.num_objects} or more"
            )
        padding = ((0, 0), (0, num_rows - source.num_objects), (0, 0))
        return np.pad(boxes, padding, constant_values=ABSENT)
