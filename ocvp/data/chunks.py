"""Chunks: runs of consecutive videos of a split, which jobs make side by side and one joins."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Chunk(NamedTuple):
    """A file that holds a chunk."""

    path: Path
    first_video: int
    """Index of its first video in the split."""
    num_videos: int


def num_chunks(num_videos: int, videos_per_chunk: int) -> int:
    """Return how many chunks a split has."""
    return -(-num_videos // videos_per_chunk)  # the last one may be smaller


def videos_of_chunk(chunk: int, videos_per_chunk: int, num_videos: int, split: str) -> range:
    """Return the indices of a chunk's videos.

    Args:
        chunk: Index of the chunk, from 0.
        videos_per_chunk: Videos of each chunk but the last, at least 1.
        num_videos: Videos of the split.
        split: Its name, for the message.

    Raises:
        ValueError: If the split has no such chunk.
    """
    last = num_chunks(num_videos, videos_per_chunk) - 1
    if not 0 <= chunk <= last:
        raise ValueError(f"--chunk is {chunk}; the chunks of {split} are 0 to {last}")
    return range(num_videos)[chunk * videos_per_chunk : (chunk + 1) * videos_per_chunk]


def check_order(chunks: Sequence[Chunk], num_videos: int) -> None:
    """Check that chunks are a whole split in order.

    Args:
        chunks: The chunks as they were given.
        num_videos: Videos of the split.

    Raises:
        ValueError: If not, naming the chunk.
    """
    next_video = 0
    for chunk in chunks:
        if chunk.first_video != next_video:
            raise ValueError(
                f"{chunk.path} starts at video {chunk.first_video}; the chunks before it end at "
                f"{next_video}: --chunks must name all chunks of the split in order"
            )
        next_video += chunk.num_videos
    if next_video != num_videos:
        raise ValueError(
            f"the {len(chunks)} chunks hold {next_video} videos; the split has {num_videos}: "
            "--chunks must name all chunks of the split in order"
        )
