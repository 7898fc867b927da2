"""Files of slots: what goes in comes out, and a file that does not belong is refused."""

import h5py
import numpy as np
import pytest
from tiny import squares, write_videos

from ocvp.data.slot_files import check_slots, read_info, write_slots

SHAPE = (5, 4, 3, 8)


def slots():
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "train.h5"
    write_slots(path, [slots()[:2], slots()[2:]], SHAPE, "d" * 64)
    return path


def test_reads_back_what_was_written(path):
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["slots"][:], slots())
        assert file["slots"].chunks == (1, *SHAPE[1:])
    assert read_info(path) == (SHAPE, "d" * 64, 0)


def test_same_slots_give_the_same_bytes_however_they_come(path, tmp_path):
    other = tmp_path / "another name.h5"
    write_slots(other, [slots()], SHAPE, "d" * 64)
    assert other.read_bytes() == path.read_bytes()


def test_slots_of_another_savi_or_of_other_videos_are_refused(path):
    check_slots(path, weights_digest="d" * 64, num_videos=5, num_frames=4)
    with pytest.raises(ValueError, match="made by another SAVi"):
        check_slots(path, weights_digest="e" * 64, num_videos=5, num_frames=4)
    with pytest.raises(ValueError, match="holds 5 videos of 4 frames, but the videos are 6 of 4"):
        check_slots(path, weights_digest="d" * 64, num_videos=6, num_frames=4)
    with pytest.raises(ValueError, match="the videos are 5 of 9 frames"):
        check_slots(path, weights_digest="d" * 64, num_videos=5, num_frames=9)


@pytest.mark.parametrize("kept", [0, 100, 1000, -1])
def test_a_truncated_file_is_named(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"train.h5 is damaged or no HDF5 file"):
        read_info(path)


def test_another_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_info(tmp_path / "missing.h5")
    videos = write_videos(tmp_path / "val.h5", num_videos=1)
    with pytest.raises(ValueError, match=r"val.h5 is no file of slots"):
        read_info(videos)
    assert squares(0)["frames"].shape[0] == 8


def test_a_failure_leaves_the_former_file(path):
    before = path.read_bytes()

    def broken():
        yield slots()[:2]
        raise ValueError("the model went astray")

    with pytest.raises(ValueError, match="astray"):
        write_slots(path, broken(), SHAPE, "d" * 64)
    with pytest.raises(AssertionError, match="2 videos were written, 5 announced"):
        write_slots(path, [slots()[:2]], SHAPE, "d" * 64)
    assert path.read_bytes() == before
    assert [child.name for child in path.parent.iterdir()] == ["train.h5"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("first", [None, 20])
def test_slots_that_are_not_finite_are_not_written(path, value, first):
    before, bad = path.read_bytes(), slots()
    bad[3, 2, 1, 0] = value
    video = 3 + (first or 0)
    with pytest.raises(ValueError, match=rf"slots of video {video} are not finite; .*train\.h5 is"):
        write_slots(path, [bad[:2], bad[2:]], SHAPE, "d" * 64, first)
    assert path.read_bytes() == before
