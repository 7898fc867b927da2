"""TFRecord files: where records lie, and their data, with both checksums checked.

Counting records seeks from length to length and reads no data (`ocvp.runtime.tfrecord` says how a
record is framed). The workflow counts while it parses, so nothing heavy is imported here.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ocvp.runtime.tfrecord import FOOTER, HEADER, data_length, footer


class Record(NamedTuple):
    """One record of a file."""

    offset: int
    """Where it starts in the file (its length does), in bytes."""
    data: bytes


def num_records(path: str | Path) -> int:
    """Return how many records a file holds; see `record_offsets`."""
    return len(record_offsets(path))


def record_offsets(path: str | Path) -> list[int]:
    """Return where each record starts, in bytes, without reading data.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If a length is damaged or the file is cut off, naming the file and the record's
            offset.
    """
    with Path(path).open("rb") as file:
        shard = _Shard(path, file)
        while shard.advance():
            pass
    return shard.offsets


def read_records(path: str | Path, indices: Sequence[int]) -> Iterator[Record]:
    """Yield the records at these positions, each checked, with one of them in memory at a time.

    Args:
        path: A TFRecord file without compression.
        indices: Positions in the file, counted from 0, in any order.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If there is no such record, or a record is damaged or cut off: naming the file
            and the record's offset. Also if google-crc32c is not installed.
    """
    with Path(path).open("rb") as file:
        shard = _Shard(path, file)
        for index in indices:
            assert index >= 0
            while len(shard.offsets) <= index and shard.advance():
                pass
            if index >= len(shard.offsets):
                raise ValueError(
                    f"{path} holds {len(shard.offsets)} records; record {index}, counted from 0, "
                    "is asked for"
                )
            offset = shard.offsets[index]
            yield Record(offset, shard.data(offset))


class _Shard:
    """An open file, and the offsets of the records that were passed so far."""

    def __init__(self, path: str | Path, file: BinaryIO) -> None:
        self.offsets: list[int] = []
        self._path = path
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._end = 0  # of the records that were passed

    def advance(self) -> bool:
        """Pass the next record; return whether there is one."""
        if self._end == self._size:
            return False
        length = self._length(self._end)
        self.offsets.append(self._end)
        self._end += HEADER.size + length + FOOTER.size
        return True

    def data(self, offset: int) -> bytes:
        """Return the data of the record at an offset."""
        length = self._length(offset)
        data = self._file.read(length)
        end = self._file.read(FOOTER.size)
        if len(data) != length or len(end) != FOOTER.size:  # it shrinks while it is read
            raise self._fault(offset, "is cut off")
        if end != footer(data):
            raise self._fault(offset, f"is damaged: its {length} bytes do not match their checksum")
        return data

    def _length(self, offset: int) -> int:
        """Return the length of the data at an offset, and leave the file at their start."""
        self._file.seek(offset)
        header = self._file.read(HEADER.size)
        if len(header) != HEADER.size:
            raise self._fault(
                offset, f"is cut off: {len(header)} of {HEADER.size} bytes of its head"
            )
        length = data_length(header)
        if length is None:
            raise self._fault(
                offset, "is damaged, or this is no TFRecord file: its length fails its checksum"
            )
        left = self._size - offset - HEADER.size - FOOTER.size
        if length > left:
            raise self._fault(offset, f"is cut off: {max(left, 0)} of its {length} bytes are there")
        return length

    def _fault(self, offset: int, what: str) -> ValueError:
        return ValueError(
            f"{self._path}: the record at byte {offset} {what}; download the file again"
        )
