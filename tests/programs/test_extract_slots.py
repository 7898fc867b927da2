"""Slots of a split, extracted at once or in parts that are joined."""

from pathlib import Path

import pytest
from tiny import CPU, assert_one_error, call, write_savi, write_videos

from ocvp import extract_slots
from ocvp.data.slot_files import check_slots, read_info
from ocvp.records.records import find_record

NUM_VIDEOS = 7


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """Options that name a SAVi and a split; its first slots are drawn at random for each video."""
    savi = write_savi(tmp_path / "savi.pt", initializer="random")
    videos = write_videos(tmp_path / "test.h5", num_videos=NUM_VIDEOS)
    runtime = CPU | {"batch_videos": 2}
    return ["--savi", savi, "--videos", videos, "--runtime", runtime, "--seed", 3]


def parts(files: list[object], folder: Path, size: int) -> list[Path]:
    paths = []
    for chunk in range(-(-NUM_VIDEOS // size)):
        paths.append(folder / f"chunk{chunk}.h5")
        how = ["--chunk", chunk, "--videos-per-chunk", size]
        assert call(extract_slots.main, *files, *how, "--output", paths[-1]) == 0
    return paths


@pytest.mark.parametrize("size", [2, 4, 100])
def test_joined_parts_are_the_whole_to_the_byte(size, files, tmp_path):
    whole, joined = tmp_path / "whole.h5", tmp_path / "joined.h5"
    assert call(extract_slots.main, *files, "--output", whole) == 0
    chunks = parts(files, tmp_path / "parts", size)
    assert call(extract_slots.main, *files, "--chunks", *chunks, "--output", joined) == 0
    assert joined.read_bytes() == whole.read_bytes()


def test_a_part_leaves_nothing_beside_it_and_the_whole_has_a_record(files, tmp_path):
    chunks = parts(files, tmp_path / "parts", 4)
    assert sorted((tmp_path / "parts").iterdir()) == chunks
    joined = tmp_path / "joined.h5"
    assert call(extract_slots.main, *files, "--chunks", *chunks, "--output", joined) == 0
    record = find_record(joined)
    assert record is not None
    assert [role for role, _, _ in record.inputs()] == ["savi", "videos"]


def test_a_part_is_not_taken_for_the_slots_of_a_split(files, tmp_path):
    (part,) = parts(files, tmp_path / "parts", 100)
    digest = read_info(part, "ocvp slots chunk 1").weights_digest
    with pytest.raises(ValueError, match="is no file of slots"):
        check_slots(part, weights_digest=digest, num_videos=NUM_VIDEOS, num_frames=8)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([1, 0], "starts at video 4; the chunks before it end at 0"),
        ([0], "the 1 chunks hold 4 videos; the split has 7"),
        ([0, 0], "starts at video 0; the chunks before it end at 4"),
    ],
)
def test_parts_must_be_the_whole_in_order(order, message, files, tmp_path, capsys):
    chunks = parts(files, tmp_path / "parts", 4)
    joined = tmp_path / "joined.h5"
    given = [chunks[index] for index in order]
    assert call(extract_slots.main, *files, "--chunks", *given, "--output", joined) == 1
    assert_one_error(capsys.readouterr().err, message)
    assert not joined.exists()


def test_parts_of_another_savi_are_refused(files, tmp_path, capsys):
    chunks = parts(files, tmp_path / "parts", 4)
    write_savi(tmp_path / "savi.pt", seed=1, initializer="random")
    joined = tmp_path / "joined.h5"
    assert call(extract_slots.main, *files, "--chunks", *chunks, "--output", joined) == 1
    assert_one_error(capsys.readouterr().err, f"{chunks[0]} was made by another SAVi")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (["--chunk", 2, "--videos-per-chunk", 4], "--chunk is 2; the chunks of test are 0 to 1"),
        (["--chunk", -1, "--videos-per-chunk", 4], "--chunk is -1; the chunks of test are 0 to 1"),
        (["--chunk", 0], "--videos-per-chunk is None; with --chunk it must be at least 1"),
        (["--chunk", 0, "--videos-per-chunk", 0], "--videos-per-chunk is 0"),
    ],
)
def test_a_part_that_does_not_exist_is_refused(how, message, files, tmp_path, capsys):
    assert call(extract_slots.main, *files, *how, "--output", tmp_path / "part.h5") == 1
    assert_one_error(capsys.readouterr().err, message)
    assert not (tmp_path / "part.h5").exists()
