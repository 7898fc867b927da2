"""Framing of records: what is written is what TensorFlow Datasets writes, and damage shows."""

import pytest
from raw_movi import frame

from ocvp.runtime.tfrecord import HEADER, data_length, framed


@pytest.mark.parametrize("data", [b"", b"a record", bytes(70_000)])
def test_a_record_is_framed_as_the_format_says(data):
    assert framed(data) == frame(data)
    assert data_length(framed(data)[: HEADER.size]) == len(data)


@pytest.mark.parametrize("position", range(HEADER.size))
def test_a_header_with_a_wrong_byte_has_no_length(position):
    header = bytearray(framed(b"a record")[: HEADER.size])
    header[position] ^= 1
    assert data_length(bytes(header)) is None
