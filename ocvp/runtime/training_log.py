"""Curves and pictures of a training, in TensorBoard's format."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary

from ocvp.runtime.event_file import EventFile, names_at
from ocvp.runtime.files import describe_full_disk, is_disk_full


class TrainingLog:
    """TensorBoard's files of one training; a point's step is the number of steps done.

    Use it as a context manager. What an earlier run wrote after the step that this one goes on
    from is void: TensorBoard drops it. What it wrote at that very step stays and is not written
    again (a run that was stopped before a validation was saved repeats it), so no step has two
    points.

    Args:
        folder: Where the files lie; the earlier ones stay. None: nothing is written.
        num_steps: Steps that were done before.

    Raises:
        OSError: If the folder cannot be written or the disk is full, later on too.
    """

    def __init__(self, folder: Path | None, num_steps: int):
        self._folder = folder
        self._num_steps, self._known = num_steps, set[str]()
        self._file: EventFile | None = None
        if folder is not None:
            with self._named_errors():
                self._file = EventFile(folder)
            self.restart(num_steps)

    @classmethod
    def disabled(cls) -> Self:
        """Return a log that writes nothing, for processes that are not the first."""
        return cls(None, 0)

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Add a point to each of the curves `group/name`."""
        points = [
            Summary.Value(tag=f"{group}/{name}", simple_value=float(value))
            for name, value in values.items()
        ]
        self._add(points, step)

    def images(self, images: Mapping[str, np.ndarray], step: int) -> None:
        """Add pictures, uint8 (H, W, 3), by name."""
        if self._file is not None:
            for name, image in images.items():
                self._add([Summary.Value(tag=name, image=_encoded(image))], step)

    def flush(self) -> None:
        """Bring everything up to now to the disk.

        Done before the state of the run is saved, a run that is killed later on loses no point up
        to that state.
        """
        if self._file is not None:
            with self._named_errors():
                self._file.flush()

    def restart(self, num_steps: int) -> None:
        """Go back to an earlier state of the training: later points are void.

        Args:
            num_steps: Steps that were done in that state.
        """
        if self._file is None or self._folder is None:
            return
        with self._named_errors():
            self._file.flush(sync=False)  # or what was collected would not be found
            self._known = names_at(self._folder, num_steps)
            self._num_steps = num_steps
            self._file.start(num_steps)
            self._file.flush(sync=False)

    def _add(self, values: list[Summary.Value], step: int) -> None:
        """Write what is not there yet."""
        if self._file is not None:
            known = self._known if step == self._num_steps else set()
            with self._named_errors():
                self._file.add([value for value in values if value.tag not in known], step)

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Name the folder in errors."""
        try:
            yield
        except OSError as error:
            if self._folder is not None and is_disk_full(error):
                raise OSError(describe_full_disk(self._folder, 0)) from error
            raise OSError(f"cannot write {self._folder}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is None:
            return
        try:
            with self._named_errors():
                self._file.close()
        except OSError:
            if kind is None:  # what stopped the training says more than what follows from it
                raise


def _encoded(image: np.ndarray) -> Summary.Image:
    height, width = image.shape[:2]
    # The least compression: the training waits for it.
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue()
    )
