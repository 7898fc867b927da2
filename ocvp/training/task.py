"""What the training loop asks of what is trained.

B batch.
"""

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ocvp.batches.residency import choose
from ocvp.batches.windows import Batch, Window, WindowReader, epoch_batches, first_windows
from ocvp.config.entries import Training
from ocvp.config.tree import Runtime
from ocvp.data.videos import VideoFile

logger = logging.getLogger(__name__)


class Task(ABC):
    """What is trained, on which windows of which videos, and how it is judged.

    Args:
        module: The model, on the device to train on.
        settings: Batch size.
        runtime: Where the data are kept, and how they are read.
        seed: Seed of data order.
    """

    def __init__(self, module: nn.Module, settings: Training, runtime: Runtime, seed: int):
        self.module = module
        self._settings, self._runtime, self._seed = settings, runtime, seed
        if runtime.compile:
            logger.info("runtime.compile: the first step of each size takes minutes")

    def _open(
        self,
        videos: Sequence[Path],
        sources: Sequence[Mapping[str, tuple[Path, str]]],
        length: int,
        key: str,
        device: torch.device,
    ) -> None:
        """Open what is trained on and what is validated on, in this order.

        Args:
            videos: The file of videos of each.
            sources: What is read of each, as `WindowReader` takes it.
            length: Frames of a window.
            key: The config's key that asks for them, for messages.
            device: Where the model is.

        Raises:
            ValueError: If the videos, or the frames of them that count, are too few for a window.
        """
        self._validation_videos = videos[1]
        sizes = [_size(path, self._settings.num_frames, length, key) for path in videos]
        (self._num_videos, self._num_frames), (self._num_validation, _) = sizes
        self._length = length
        residency = choose(self._runtime.residency, sources, device)  # of both together
        self._train, self._validation = (
            WindowReader(source, length, residency, device) for source in sources
        )

    def plan(self, epoch: int) -> list[list[Window]]:
        """Return the windows of each batch of an epoch."""
        length = self._length_in(epoch)
        return epoch_batches(
            seed=self._seed,
            epoch=epoch,
            num_videos=self._num_videos,
            num_starts=self._num_frames - length + 1,  # the last one ends with the video
            # Of shorter windows there are more, so that a batch has as many frames.
            batch_size=self._settings.batch_size * self._length // length,
            length=length,
        )

    def read(self, plan: Sequence[Sequence[Window]]) -> Iterator[Batch]:
        """Read the batches of a plan, in its order."""
        return self._train.batches(plan, self._runtime.num_workers)

    @abstractmethod
    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the loss under `loss`, and its parts: means over the windows of a batch."""

    def validation_plan(self) -> list[list[Window]]:
        """Return the windows of each batch of the validation: one a video, from frame 0."""
        return first_windows(self._num_validation, self._runtime.batch_videos)

    def read_validation(self, plan: Sequence[Sequence[Window]]) -> Iterator[Batch]:
        """Read batches of the validation."""
        return self._validation.batches(plan, self._runtime.num_workers)

    @abstractmethod
    def validation_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return what `losses` returns, as it is when the model is used."""

    @abstractmethod
    def images(self) -> dict[str, np.ndarray]:
        """Return pictures to look at, uint8 (H, W, 3), by name."""

    def scores(self) -> dict[str, float]:
        """Return means over a few validation videos by metric, for curves; they change nothing."""
        return {}

    def doubts(self, epoch: int) -> str:
        """Return what speaks against what was learned so far; empty: nothing."""
        return ""

    def _first_clips(self, num_videos: int) -> Iterator[Batch]:
        """Read the first validation videos, from frame 0, within this process."""
        num_videos = min(self._num_validation, num_videos)
        for windows in first_windows(num_videos, self._runtime.batch_videos):
            yield self._validation[windows]

    @functools.cached_property
    def _masks(self) -> np.ndarray | None:
        """True masks of those that are scored, (B, T, H, W): read once, None if there are none."""
        # Here: what is only shown does not change what is trained.
        from ocvp.training.clip_scores import NUM_VIDEOS, read_masks

        num_videos = min(self._num_validation, NUM_VIDEOS)
        return read_masks(self._validation_videos, num_videos, self._length)

    def _length_in(self, epoch: int) -> int:
        """Return how many frames the windows of an epoch have."""
        return self._length


def _size(path: Path, limit: int | None, length: int, key: str) -> tuple[int, int]:
    """Return how many videos a file has, and how many frames of them count (at most `limit`)."""
    with VideoFile(path) as file:
        num_videos, num_frames = file.num_videos, file.num_frames
    found = f"the videos of {path} have {num_frames} frames"
    if limit and limit > num_frames:
        raise ValueError(f"training.num_frames is {limit}, but {found}")
    if limit:
        num_frames, found = limit, f"{limit} of the frames of {path} are trained on"
    if length > num_frames:
        raise ValueError(f"{key} is {length}, but {found}")
    return num_videos, num_frames
