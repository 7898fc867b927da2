"""What the training loop asks of what is trained."""

from collections.abc import Iterable, Sequence
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

    def read(self, plan: Sequence[Sequence[Window]]) -> Iterable[Batch]:
        """Read the batches of a plan, in its order."""

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the loss under `loss`, and its parts: means over the windows of a batch."""

    def validation_plan(self) -> list[list[Window]]:
        """Return the windows of each batch of the validation."""

    def read_validation(self, plan: Sequence[Sequence[Window]]) -> Iterable[Batch]:
        """Read batches of the validation."""

    def validation_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return what `losses` returns, as it is when the model is used."""

    def images(self) -> dict[str, np.ndarray]:
        """Return pictures to look at, uint8 (H, W, 3), by name."""
