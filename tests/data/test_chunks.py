"""Splits cut into chunks; what they hold is refused elsewhere where it does not fit."""

from pathlib import Path

import pytest

from ocvp.data.chunks import Chunk, check_order, num_chunks, videos_of_chunk


@pytest.mark.parametrize(
    ("num_videos", "size", "sizes"),
    [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 3, [2]), (3, 1, 3 * [1])],
)
def test_chunks_are_the_split_once_and_in_order(num_videos, size, sizes):
    number = num_chunks(num_videos, size)
    chunks = [videos_of_chunk(chunk, size, num_videos, "val") for chunk in range(number)]
    assert [len(chunk) for chunk in chunks] == sizes
    assert [video for chunk in chunks for video in chunk] == list(range(num_videos))
    files = [Chunk(Path("x"), chunk.start, len(chunk)) for chunk in chunks]
    check_order(files, num_videos)
    with pytest.raises(ValueError, match="--chunks must name all chunks of the split in order"):
        check_order(files[:-1], num_videos)


@pytest.mark.parametrize("chunk", [-1, 3])
def test_a_chunk_that_the_split_does_not_have_is_refused(chunk):
    with pytest.raises(ValueError, match=f"--chunk is {chunk}; the chunks of val are 0 to 2"):
        videos_of_chunk(chunk, 3, 7, "val")
