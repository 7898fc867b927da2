"""HDF5 files of the slots that one SAVi found in one split.

V videos, T frames, N slots, D slot_dim.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ocvp.files import atomic_path, check_writable

FORMAT = "ocvp slots 1"


class SlotFileInfo(NamedTuple):
    """What a file of slots holds."""

    shape: tuple[int, int, int, int]
    """(V, T, N, D)."""
    weights_digest: str
    """Of the SAVi that made them."""


def write_slots(
    path: Path, batches: Iterable[np.ndarray], shape: tuple[int, int, int, int], weights_digest: str
) -> None:
    """Write slots atomically, in the order of the videos.

    Args:
        path: File to write.
        batches: Float32 arrays (videos, T, N, D) that make up all V videos.
        shape: (V, T, N, D).
        weights_digest: Of the SAVi that made the slots.
    """
    check_writable(path, 4 * math.prod(shape))
    with atomic_path(path) as temporary, h5py.File(temporary, "w", track_order=False) as file:
        file.attrs["format"] = FORMAT
        file.attrs["weights_digest"] = weights_digest
        dataset = file.create_dataset(
            "slots", shape, np.float32, chunks=(1, *shape[1:]), fletcher32=True, track_times=False
        )
        position = 0
        for batch in batches:
            dataset[position : position + len(batch)] = batch
            position += len(batch)
        if position != shape[0]:
            raise AssertionError(f"{position} videos were written, {shape[0]} announced")


def read_info(path: Path) -> SlotFileInfo:
    """Return what a file of slots holds.

    Raises:
        ValueError: If it is missing, damaged or no file of slots.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ValueError(f"{path} is no file of slots: it has no format {FORMAT!r}")
            return SlotFileInfo(file["slots"].shape, str(file.attrs["weights_digest"]))
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path} is damaged or no HDF5 file ({error}); delete it and run the workflow again"
        ) from None


def check_slots(path: Path, *, weights_digest: str, num_videos: int, num_frames: int) -> None:
    """Check that a file of slots belongs to a SAVi and to a file of videos.

    Raises:
        ValueError: If it was made by another SAVi, or has other numbers of videos or frames.
    """
    info = read_info(path)
    if info.weights_digest != weights_digest:
        raise ValueError(
            f"{path} was made by another SAVi (weights {info.weights_digest[:12]}, given is "
            f"{weights_digest[:12]}); extract the slots again"
        )
    if info.shape[:2] != (num_videos, num_frames):
        raise ValueError(
            f"{path} holds {info.shape[0]} videos of {info.shape[1]} frames, but the videos are "
            f"{num_videos} of {num_frames} frames; extract the slots again"
        )
