"""Other sizes: Pillow's own filters for frames, every n-th pixel for labels, one cut for both."""

import typing

import numpy as np
import pytest
from PIL import Image
from raw_trees import simulated

from ocvp.config.datasets import ResizeFilter
from ocvp.data.resizing import FILTERS, WHOLE, Crop, choose_crop, resize_frame, resize_labels

FRAME = simulated("train", 0, 2)["frames"][1]  # 48x64
PICTURE = Image.fromarray(FRAME)


@pytest.mark.parametrize("name", typing.get_args(ResizeFilter))
def test_filters_are_pillows_own(name):
    # At a whole fraction of the size, box is computed more exactly: see below.
    for height, width in ((32, 32), (20, 30), (96, 100)):
        wanted = PICTURE.resize((width, height), getattr(Image.Resampling, name.upper()))
        found = resize_frame(PICTURE, (height, width), name)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, np.asarray(wanted))


def test_filters_differ():
    found = {resize_frame(PICTURE, (32, 32), name).tobytes() for name in FILTERS}
    assert len(found) == len(FILTERS) == 6


def test_box_at_half_the_size_is_the_mean_of_2x2_pixels():
    means = FRAME.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(resize_frame(PICTURE, (24, 32), "box"), np.floor(means + 0.5))
    assert np.abs(resize_frame(PICTURE, (24, 32), "bicubic") - means).max() > 1


@pytest.mark.parametrize("name", FILTERS)
def test_frames_of_the_right_size_stay_as_they_are(name):
    np.testing.assert_array_equal(resize_frame(PICTURE, (48, 64), name), FRAME)
    crop = choose_crop((48, 64), (48, 48), "crop")
    np.testing.assert_array_equal(resize_frame(PICTURE, (48, 48), name, crop), FRAME[:, 8:56])


def test_the_filter_does_not_reach_over_the_edge_of_the_cut():
    striped = np.zeros((16, 32, 3), np.uint8)
    striped[:, :8] = striped[:, 24:] = 255
    crop = choose_crop((16, 32), (8, 8), "crop")
    assert resize_frame(Image.fromarray(striped), (8, 8), "lanczos", crop).max() == 0


def test_the_middle_is_cut_out_in_whole_pixels():
    assert choose_crop((48, 64), (32, 32), "crop") == Crop(0, 8 / 64, 1, 56 / 64)
    assert choose_crop((64, 48), (32, 32), "crop") == Crop(8 / 64, 0, 56 / 64, 1)
    assert choose_crop((48, 64), (24, 32), "crop") == WHOLE
    assert choose_crop((48, 64), (32, 32), "stretch") == WHOLE
    assert choose_crop((48, 65), (32, 32), "crop") == Crop(0, 8 / 65, 1, 56 / 65)
    assert choose_crop((1, 500), (80, 8), "crop") == Crop(0, 249 / 500, 1, 250 / 500)


def test_labels_at_half_the_size_are_the_even_pixels():
    labels = np.arange(48 * 64).reshape(48, 64)
    np.testing.assert_array_equal(resize_labels(labels, (24, 32)), labels[::2, ::2])
    np.testing.assert_array_equal(resize_labels(labels, (48, 64)), labels)


def test_labels_at_other_sizes_and_with_a_cut():
    labels = np.arange(48 * 64).reshape(48, 64)
    crop = choose_crop((48, 64), (32, 32), "crop")
    rows = [0, 1, 3, 4, 6]  # floor(1.5 i)
    found = resize_labels(labels, (32, 32), crop)
    assert found.shape == (32, 32)
    np.testing.assert_array_equal(found[:5, 0], labels[rows, 8])
    np.testing.assert_array_equal(found[0, :5], labels[0, 8 + np.array(rows)])
    upright = labels.reshape(64, 48)
    found = resize_labels(upright, (32, 32), choose_crop((64, 48), (32, 32), "crop"))
    np.testing.assert_array_equal(found[:5, 0], upright[8 + np.array(rows), 0])
    np.testing.assert_array_equal(found[0, :5], upright[8, rows])
    large = resize_labels(labels, (96, 64))
    np.testing.assert_array_equal(large, labels.repeat(2, axis=0))


def test_labels_keep_their_type_and_further_axes():
    flow = np.random.default_rng(0).standard_normal((48, 64, 2)).astype(np.float32)
    found = resize_labels(flow, (24, 32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, flow[::2, ::2])
    masks = np.random.default_rng(0).choice(np.array([0, 3, 200], np.uint8), (48, 64))
    assert set(np.unique(resize_labels(masks, (31, 17)))) == {0, 3, 200}
