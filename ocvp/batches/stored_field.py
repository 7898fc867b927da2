"""A field of videos in an HDF5 file, read in stretches or as a whole; what is wrong is named.

B stretches, L their frames, V videos, T frames.
"""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocvp.data.hdf5 import check_read

PIECE_BYTES = 1 << 26
"""About how much `load` reads at once."""


class StoredField:
    """One dataset of an HDF5 file.

    It can be pickled and forked: each process opens the file for itself, as HDF5's handles cannot
    be shared.

    Args:
        path: The file.
        name: Name of the dataset, of shape (V, T, ...).

    Attributes:
        path: The file.
        shape: (V, T, ...).
        dtype: Its NumPy type.

    Raises:
        ValueError: If the file is gone, cannot be read or is damaged, naming it.
    """

    def __init__(self, path: Path, name: str):
        self.path, self._name = path, name
        self._files: dict[int, h5py.File] = {}
        with self._naming():
            self._identity = _identity(path)
            with h5py.File(path, "r") as file:
                self.shape: tuple[int, ...] = file[name].shape
                self.dtype: np.dtype[Any] = file[name].dtype

    @property
    def num_bytes(self) -> int:
        """Size of the whole field in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, stretches: Sequence[tuple[int, int]], length: int) -> NDArray[Any]:
        """Return some stretches of frames.

        Args:
            stretches: Video and first frame of each; there may be none.
            length: Frames of each, L.

        Returns:
            Their values as they are stored, shape (B, L, ...).

        Raises:
            ValueError: If the file is gone, cannot be read or is damaged, or a value is not
                finite, naming it.
        """
        values = np.empty((len(stretches), length, *self.shape[2:]), self.dtype)  # (B, L, ...)
        with self._naming():
            dataset = self._file()[self._name]
            for (video, start), row in zip(stretches, values, strict=True):
                dataset.read_direct(row, np.s_[video, start : start + length])  # (L, ...)
                check_read(dataset, video, row[None])
            self._check_whole()
        self._check_finite(values, [video for video, _ in stretches])
        return values

    def load(self, device: torch.device | str) -> Tensor:
        """Return the whole field on a device, without a second copy on the way.

        Args:
            device: Where to; `cpu` for main memory.

        Raises:
            ValueError: If the file is gone, cannot be read or is damaged, a value is not finite,
                or the memory does not suffice, naming the file.
        """
        device = torch.device(device)
        try:
            if device.type == "cpu":  # from NumPy: torch says a lack of memory in other ways
                loaded = torch.from_numpy(np.empty(self.shape, self.dtype))
            else:
                dtype = torch.from_numpy(np.empty(0, self.dtype)).dtype
                loaded = torch.empty(self.shape, dtype=dtype, device=device)
            done = 0
            for piece in self._pieces():  # (some videos, T, ...)
                self._check_finite(piece, range(done, done + len(piece)))
                loaded[done : done + len(piece)].copy_(torch.from_numpy(piece))
                done += len(piece)
        except (MemoryError, torch.OutOfMemoryError) as error:
            where = "main memory" if device.type == "cpu" else f"the memory of {device}"
            others = "disk" if device.type == "cpu" else "memory or disk"
            raise ValueError(
                f"{self._name} of {self.path}, {self.num_bytes / 1e9:.1f} GB, does not fit into "
                f"{where} ({error}); choose runtime.residency: {others}"
            ) from error
        return loaded

    def _pieces(self) -> Iterator[NDArray[Any]]:
        """Yield all videos in order, some at a time."""
        num_videos = max(self.shape[0], 1)
        step = max(PIECE_BYTES * num_videos // max(self.num_bytes, 1), 1)  # videos
        with self._naming(), h5py.File(self.path, "r") as file:
            for first in range(0, self.shape[0], step):
                piece = file[self._name][first : first + step]
                check_read(file[self._name], first, piece)
                yield piece
                self._check_whole()

    def _file(self) -> h5py.File:
        # A fork has its parent's handles too, and must not use them.
        if os.getpid() not in self._files:
            self._files[os.getpid()] = h5py.File(self.path, "r")
        return self._files[os.getpid()]

    def _check_whole(self) -> None:
        # HDF5 reads zeros where an open file was cut off, and their checksum is right.
        found = _identity(self.path)
        if found[:2] != self._identity[:2]:
            raise ValueError(
                f"{self.path} was replaced by another file while it was read; run the same command "
                "again"
            )
        if found[2] != self._identity[2]:
            raise OSError(f"it has {found[2]} bytes now, it had {self._identity[2]}")

    def _check_finite(self, values: NDArray[Any], videos: Sequence[int]) -> None:
        """Raise ValueError where a model would be given NaN or infinity, naming the video."""
        if self.dtype.kind != "f" or np.isfinite(values).all():
            return
        is_finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)  # (B,)
        video = videos[int(np.argmin(is_finite))]
        raise ValueError(
            f"{self.path}: {self._name} of video {video} are not finite (NaN or infinity); delete "
            "the file and run the workflow again"
        )

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """Turn what the system or HDF5 says of the file into a message that names it."""
        try:
            yield
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{self.path} {self._fault(error)}") from error

    def _fault(self, error: Exception) -> str:
        if isinstance(error, FileNotFoundError) or not self.path.exists():
            return "is gone; bring it back, or run the workflow, which makes it again"
        if isinstance(error, OSError) and error.errno is not None:  # no right to read, for example
            return f"cannot be read ({error})"
        return f"is damaged ({error}); delete it and run the workflow again"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}


def _identity(path: Path) -> tuple[int, int, int]:
    """Return which file lies at a path (device, inode), and its size."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size
