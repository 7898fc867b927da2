"""HDF5 files of the slots that one SAVi found in one split.

V videos, T frames, N slots, D slot_dim.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ocvp.data.chunks import Chunk, check_order
from ocvp.data.hdf5 import (
    Array,
    Unfit,
    check_arrays,
    create_array,
    create_file,
    read_attributes,
    reading,
    write_attribute,
)
from ocvp.runtime.files import atomic_path, check_writable

FORMAT = "ocvp slots 1"
CHUNK_FORMAT = "ocvp slots chunk 1"
"""Of a file that holds some videos of a split: nothing but `join_slots` reads it."""


class SlotFileInfo(NamedTuple):
    """What a file of slots holds."""

    shape: tuple[int, int, int, int]
    """(V, T, N, D)."""
    weights_digest: str
    """Of the SAVi that made them."""
    first_video: int = 0
    """Index of its first video in the split."""


def write_slots(
    path: Path,
    batches: Iterable[np.ndarray],
    shape: tuple[int, int, int, int],
    weights_digest: str,
    first_video: int | None = None,
) -> None:
    """Write slots atomically, in the order of the videos.

    Args:
        path: File to write.
        batches: Float32 arrays (videos, T, N, D) that make up all V videos.
        shape: (V, T, N, D).
        weights_digest: Of the SAVi that made the slots.
        first_video: Index of the first video, where the file is a chunk of a split (`join_slots`).

    Raises:
        ValueError: If slots are not finite, naming the video.
    """
    num_bytes = 4 * math.prod(shape)  # of float32
    check_writable(path, num_bytes)
    with atomic_path(path, num_bytes) as temporary, create_file(temporary) as file:
        write_attribute(file, "format", FORMAT if first_video is None else CHUNK_FORMAT)
        write_attribute(file, "weights_digest", weights_digest)
        if first_video is not None:
            file.attrs["first_video"] = first_video
        dataset = create_array(file, "slots", shape, "float32")
        position = 0
        for batch in batches:
            _check_finite(path, batch, position + (first_video or 0))
            dataset[position : position + len(batch)] = batch
            file.check()
            position += len(batch)
        if position != shape[0]:
            raise AssertionError(f"{position} videos were written, {shape[0]} announced")


def _check_finite(path: Path, batch: np.ndarray, first_video: int) -> None:
    """Raise ValueError where slots that are to be written are NaN or infinite."""
    if not (is_finite := np.isfinite(batch).all(axis=(1, 2, 3))).all():
        video = first_video + int(np.argmin(is_finite))
        raise ValueError(f"the slots of video {video} are not finite; {path} is not written")


def join_slots(
    path: Path, chunks: Sequence[Path], shape: tuple[int, int, int, int], weights_digest: str
) -> None:
    """Join the chunks of a split; the file does not depend on how the split was cut.

    Args:
        path: File to write.
        chunks: All chunks of the split, in order.
        shape: (V, T, N, D) of the whole split.
        weights_digest: Of the SAVi that must have made them.

    Raises:
        ValueError: If a chunk is missing, damaged or of another SAVi, or if the chunks are not the
            whole split in order.
    """
    found = []
    for chunk in chunks:
        info = read_info(chunk, CHUNK_FORMAT)
        if (info.weights_digest, info.shape[1:]) != (weights_digest, shape[1:]):
            raise ValueError(
                f"{chunk} was made by another SAVi or of other videos; delete it and run the "
                "workflow again"
            )
        found.append(Chunk(chunk, info.first_video, info.shape[0]))
    check_order(found, shape[0])
    write_slots(path, _slots_of(chunks), shape, weights_digest)


def _slots_of(chunks: Sequence[Path]) -> Iterator[np.ndarray]:
    """Yield the slots of chunks, video by video."""
    for chunk in chunks:
        with h5py.File(chunk, "r") as file:
            for video in range(len(file["slots"])):
                yield file["slots"][video : video + 1]


def read_info(path: Path, file_format: str = FORMAT) -> SlotFileInfo:
    """Return what a file of slots holds.

    Args:
        path: The file.
        file_format: What its `format` must be.

    Raises:
        ValueError: If it is missing, damaged or no file of slots.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    with reading(path, "delete it and run the workflow again"), h5py.File(path, "r") as file:
        if read_attributes(file, {}, {"format": str}).get("format") != file_format:
            raise Unfit(f"is no file of slots: it has no format {file_format!r}")
        attributes = read_attributes(file, {"weights_digest": str}, {"first_video": int})
        sizes = check_arrays(file, {"slots": Array("float32", "VTND")}, ("slots",))
    shape = (sizes["V"], sizes["T"], sizes["N"], sizes["D"])
    return SlotFileInfo(shape, attributes["weights_digest"], int(attributes.get("first_video", 0)))


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
