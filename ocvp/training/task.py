"""What the training loop asks of what is trained."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from ocvp.batches.windows import Batch, Window


class Task(Protocol):
    """What is trained, on what, and how it is judged."""

    @property
    def module(self) -> nn.Module:
        """The model, on the device to train on."""

    def plan(self, epoch: int) -> list[list[Window]]:
        """Return the windows of each batch of an epoch."""

    def read(self, plan: Sequence[Sequence[Window]]) -> Iterator[Batch]:
        """Read the batches of a plan, in its order."""

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the loss under `loss`, and its parts: means over the windows of a batch."""

    def validation_plan(self) -> list[list[Window]]:
        """Return the windows of each batch of the validation."""

    def read_validation(self, plan: Sequence[Sequence[Window]]) -> Iterator[Batch]:
        """Read batches of the validation."""

    def validation_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return what `losses` returns, as it is when the model is used."""

    def images(self) -> dict[str, np.ndarray]:
        """Return pictures to look at, uint8 (H, W, 3), by name."""


def usable_frames(videos: Path, num_frames: int, limit: int | None, needed: int, key: str) -> int:
    """Return how many frames of each video are trained on.

    Args:
        videos: The file, for messages.
        num_frames: Frames of its videos.
        limit: `training.num_frames`.
        needed: Frames of one window.
        key: The config's key that asks for them, for messages.

    Raises:
        ValueError: If the videos, or the frames to train on, are too few.
    """
    if (limit or 0) > num_frames:
        raise ValueError(
            f"training.num_frames is {limit}, but the videos of {videos} have {num_frames} frames"
        )
    usable = limit or num_frames
    if needed > usable:
        if limit:
            found = f"{usable} of the frames of {videos} are trained on"
        else:
            found = f"the videos of {videos} have {usable} frames"
        raise ValueError(f"{key} is {needed}, but {found}")
    return usable
