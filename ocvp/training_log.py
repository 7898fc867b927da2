"""Curves and pictures of a training, in TensorBoard's format."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from ocvp.files import describe_full_disk, is_disk_full


class TrainingLog:
    """TensorBoard's files of one training; a point's step is the number of steps done.

    Use it as a context manager. What an earlier run wrote after the step that this one goes on
    from is void: TensorBoard drops it, so no step has two points.

    Args:
        folder: Where the files lie; the earlier ones stay.
        num_steps: Steps that were done before.

    Raises:
        OSError: If the folder cannot be written or the disk is full, later on too.
    """

    def __init__(self, folder: Path, num_steps: int):
        self._folder = folder
        # A longer queue and interval: the loop must not wait for a slow disk.
        self._writer = SummaryWriter(
            str(folder), purge_step=num_steps + 1, max_queue=1000, flush_secs=30
        )

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Add a point to each of the curves `group/name`."""
        try:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
        except OSError as error:
            raise self._named(error) from error

    def images(self, images: Mapping[str, np.ndarray], step: int) -> None:
        """Add pictures, uint8 (H, W, 3), by name."""
        try:
            for name, image in images.items():
                self._writer.add_image(name, image, step, dataformats="HWC")
        except OSError as error:
            raise self._named(error) from error

    def _named(self, error: OSError) -> OSError:
        if is_disk_full(error):
            return OSError(describe_full_disk(self._folder, 0))
        return OSError(f"cannot write {self._folder}: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._writer.close()
        except OSError as failure:
            if kind is None:  # what stopped the training says more than what follows from it
                raise self._named(failure) from failure
