"""Stored fields: as they are in the file, and a message that names it where it is not whole."""

import os
import pickle
import re
import tracemalloc

import h5py
import numpy as np
import pytest
import torch
from tiny import NUM_FRAMES, SIDE, spoil, squares, write_videos

from ocvp.batches import stored_field
from ocvp.batches.stored_field import StoredField


@pytest.fixture
def videos(tmp_path):
    return write_videos(tmp_path / "train.h5", num_videos=5)


def cut_off(path, field, video):
    """Cut a file off in front of a video."""
    with h5py.File(path) as file:
        offset = file[field].id.get_chunk_info(video).byte_offset
    os.truncate(path, offset)


def test_size_and_type_are_those_of_the_file(videos):
    field = StoredField(videos, "frames")
    assert field.shape == (5, NUM_FRAMES, SIDE, SIDE, 3)
    assert field.dtype == np.uint8
    assert field.num_bytes == 5 * NUM_FRAMES * SIDE * SIDE * 3
    assert StoredField(videos, "boxes").num_bytes == 5 * NUM_FRAMES * 2 * 4 * 4


def test_a_stretch_is_that_of_the_video(videos):
    for name in ("frames", "masks", "boxes"):
        field = StoredField(videos, name)
        values = field.read([(4, 5), (0, 0), (4, 1)], 3)
        assert values.dtype == squares(0)[name].dtype
        expected = [squares(4)[name][5:8], squares(0)[name][:3], squares(4)[name][1:4]]
        np.testing.assert_array_equal(values, np.stack(expected))
        assert field.read([], 3).shape == (0, 3, *field.shape[2:])


@pytest.mark.parametrize("piece", [1, 3 * 8 * 16 * 16 * 3, 1 << 26])
def test_the_whole_is_every_video_in_order(videos, monkeypatch, piece):
    monkeypatch.setattr(stored_field, "PIECE_BYTES", piece)
    for name in ("frames", "boxes"):
        loaded = StoredField(videos, name).load("cpu")
        expected = np.stack([squares(video)[name] for video in range(5)])
        assert loaded.dtype == torch.from_numpy(expected).dtype
        np.testing.assert_array_equal(loaded.numpy(), expected)


def test_loading_makes_no_second_copy(tmp_path, monkeypatch):
    path = tmp_path / "slots.h5"
    values = np.random.default_rng(0).standard_normal((64, 256, 64), dtype=np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("slots", data=values, chunks=(1, 256, 64))
    monkeypatch.setattr(stored_field, "PIECE_BYTES", values.nbytes // 16)
    field = StoredField(path, "slots")
    tracemalloc.start()
    try:
        loaded = field.load("cpu")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(loaded.numpy(), values)
    assert values.nbytes <= peak < 1.25 * values.nbytes


def test_a_copy_opens_the_file_anew(videos):
    field = StoredField(videos, "frames")
    expected = field.read([(1, 1)], 2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(field)).read([(1, 1)], 2), expected)


def refused(call, path, *parts):
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} ") as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert part in message
    return message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("piece", [1, 1 << 26])
def test_a_value_that_is_not_finite_is_named_with_its_video(videos, monkeypatch, value, piece):
    monkeypatch.setattr(stored_field, "PIECE_BYTES", piece)
    with h5py.File(videos, "r+") as file:
        file["boxes"][3, 5, 1, 2] = value
    field = StoredField(videos, "boxes")
    message = f"{re.escape(str(videos))}: boxes of video 3 are not finite"
    with pytest.raises(ValueError, match=message):
        field.load("cpu")
    with pytest.raises(ValueError, match=message):
        field.read([(4, 0), (3, 4), (3, 0)], 2)
    assert np.isfinite(field.read([(4, 0), (3, 3)], 2)).all()  # the frame is in no stretch


@pytest.mark.parametrize("how", ["read", "load"])
def test_one_flipped_bit_is_found(videos, how):
    spoil(videos)
    field = StoredField(videos, "frames")
    calls = {"read": lambda: field.read([(4, 0)], 1), "load": lambda: field.load("cpu")}
    refused(calls[how], videos, "is damaged", "run the workflow again")


def test_a_file_that_was_cut_off_is_found_before_it_is_read(videos):
    cut_off(videos, "frames", 3)
    refused(lambda: StoredField(videos, "frames"), videos, "is damaged (", "truncated")


def test_a_file_that_is_cut_off_while_it_is_open_gives_no_zeros(videos):
    """HDF5 by itself reads black frames then, whose checksum is right."""
    field = StoredField(videos, "frames")
    field.read([(3, 0)], 2)
    size = videos.stat().st_size
    cut_off(videos, "frames", 3)
    with h5py.File(videos.with_name("other.h5"), "w"):  # another open file changes nothing
        message = refused(lambda: field.read([(3, 0)], 2), videos, "is damaged")
    assert f"it has {videos.stat().st_size} bytes now, it had {size}" in message


def test_a_file_that_vanishes_is_told_from_a_damaged_one(videos):
    field, opened = StoredField(videos, "frames"), StoredField(videos, "frames")
    opened.read([(0, 0)], 2)
    videos.unlink()
    refused(lambda: field.read([(0, 0)], 2), videos, "is gone")
    refused(lambda: opened.read([(0, 0)], 2), videos, "is gone")
    refused(lambda: field.load("cpu"), videos, "is gone")
    refused(lambda: StoredField(videos, "frames"), videos, "is gone")


def test_what_is_read_of_a_file_that_is_gone_is_not_called_damaged(videos):
    """Some disks keep a part of a file that is open, and then it looks damaged."""
    spoil(videos)
    field = StoredField(videos, "frames")
    field.read([(0, 0)], 2)
    videos.unlink()
    refused(lambda: field.read([(4, 0)], 2), videos, "is gone")


def test_no_hdf5_and_no_such_field_are_damage(videos):
    refused(lambda: StoredField(videos, "slots"), videos, "is damaged", "slots")
    videos.write_bytes(b"no HDF5" * 1000)
    refused(lambda: StoredField(videos, "frames"), videos, "is damaged")


def test_a_file_that_cannot_be_opened_is_not_called_damaged(videos, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", refuse)  # root may read everything
    message = refused(lambda: StoredField(videos, "frames"), videos, "cannot be read")
    assert "delete" not in message


def test_what_does_not_fit_is_named(tmp_path):
    """A field of 4 exabytes in a small file: no memory has them."""
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", (1 << 32, 1 << 30), np.uint8, chunks=(1, 1 << 20))
    field = StoredField(path, "frames")
    with pytest.raises(ValueError, match=r"frames of .*huge.h5, .* GB, does not fit .* disk"):
        field.load("cpu")
