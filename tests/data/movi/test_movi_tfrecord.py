"""Framing of TFRecord files: the fixture's own, and every way of damaging a record."""

import re
import subprocess
import sys
import tracemalloc

import pytest
from raw_movi import SHARDS, VERSION, frame, head, movi_root, raw_record

from ocvp.data.movi.tfrecord import num_records, read_records, record_offsets

__all__ = ["movi_root"]

FIRST, SECOND = b"the first record", b"the second one, which is damaged"
OFFSET = len(frame(FIRST))  # of the second record


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "movi_a-train.tfrecord-00000-of-00001"
    path.write_bytes(frame(FIRST) + frame(SECOND))
    return path


def assert_bad(path, offset, read, *parts):
    """Check that reading fails, and names the file, the record's offset and the parts."""
    with pytest.raises(ValueError, match=re.escape(f"{path}: the record at byte {offset} ")) as bad:
        read()
    for part in parts:
        assert part in str(bad.value)


def test_records_of_the_fixture(movi_root):
    for split, shards in SHARDS.items():
        for number, name in enumerate(shards):
            path = movi_root / VERSION / name
            expected = [raw_record(movi_root, split, number, index) for index in range(2)]
            assert num_records(path) == 2
            assert record_offsets(path) == [0, 16 + len(expected[0])]
            records = list(read_records(path, range(2)))
            assert [record.data for record in records] == expected
            assert [record.offset for record in records] == record_offsets(path)


def test_records_are_found_by_position(shard):
    assert record_offsets(shard) == [0, OFFSET]
    assert [record.data for record in read_records(shard, [1])] == [SECOND]
    assert [record.data for record in read_records(shard, [1, 0, 1])] == [SECOND, FIRST, SECOND]


def test_a_missing_record_is_named(shard):
    with pytest.raises(ValueError, match="-of-00001 holds 2 records; record 2, counted from 0"):
        list(read_records(shard, [0, 2]))


def test_empty_files_and_empty_records(tmp_path):
    path = tmp_path / "shard"
    path.write_bytes(b"")
    assert num_records(path) == 0
    path.write_bytes(frame(b"") + frame(FIRST))
    assert num_records(path) == 2
    assert [record.data for record in read_records(path, [0, 1])] == [b"", FIRST]


@pytest.mark.parametrize(
    ("start", "stop", "reason"),
    [
        (0, 8, "its length fails its checksum"),
        (8, 12, "its length fails its checksum"),
        (12, 12 + len(SECOND), "do not match their checksum"),
        (12 + len(SECOND), 16 + len(SECOND), "do not match their checksum"),
    ],
    ids=["length", "checksum of the length", "data", "checksum of the data"],
)
def test_any_flipped_bit_names_shard_and_offset(shard, start, stop, reason):
    whole = shard.read_bytes()
    for position in range(OFFSET + start, OFFSET + stop):
        for bit in (0, 7):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            shard.write_bytes(damaged)
            assert next(read_records(shard, [0])).data == FIRST
            assert_bad(shard, OFFSET, lambda: list(read_records(shard, [1])), reason)
            if start < 12:  # counting sees lengths only
                assert_bad(shard, OFFSET, lambda: num_records(shard), reason)


def test_a_file_that_is_cut_off_anywhere(shard):
    whole = shard.read_bytes()
    for size in range(OFFSET + 1, len(whole)):
        shard.write_bytes(whole[:size])
        assert next(read_records(shard, [0])).data == FIRST
        assert_bad(shard, OFFSET, lambda: list(read_records(shard, [1])), "is cut off")
        assert_bad(shard, OFFSET, lambda: num_records(shard), "is cut off")


def test_an_absurd_length_allocates_nothing(shard):
    shard.write_bytes(frame(FIRST) + head(2**40) + SECOND)
    tracemalloc.start()
    try:
        assert_bad(shard, OFFSET, lambda: list(read_records(shard, [1])), f"of its {2**40} bytes")
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_counting_reads_no_data(tmp_path):
    path = tmp_path / "shard"
    with path.open("wb") as file:  # 4 GiB of nothing, which take no space
        file.write(head(2**32))
        file.seek(12 + 2**32 + 4)
        file.write(frame(FIRST))
    tracemalloc.start()
    try:
        assert record_offsets(path) == [0, 16 + 2**32]
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "shard"
    path.write_bytes(b"PK\x03\x04 this is an archive, not a TFRecord file")
    assert_bad(path, 0, lambda: num_records(path), "this is no TFRecord file")


def test_a_missing_file_is_named(tmp_path):
    for read in (num_records, lambda path: list(read_records(path, [0]))):
        with pytest.raises(FileNotFoundError, match="no-such-shard"):
            read(tmp_path / "no-such-shard")


def test_only_reading_needs_the_checksum_library(shard, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    assert num_records(shard) == 2
    with pytest.raises(ValueError, match=r"google-crc32c, .* python -m pip install google-crc32c"):
        list(read_records(shard, [0]))


def test_the_module_imports_only_the_standard_library():
    code = (
        "import sys; import ocvp; before = set(sys.modules); import ocvp.data.movi.tfrecord; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ocvp']"
