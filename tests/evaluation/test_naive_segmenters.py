"""Clips of known colours and boxes of known pixels."""

import numpy as np
import pytest

from ocvp.evaluation.naive_segmenters import held_boxes, kmeans_colour


def coloured_clip():
    """Three flat colours with noise, of falling size; the smallest one moves."""
    rng = np.random.default_rng(0)
    labels = np.zeros((4, 16, 16), dtype=np.uint8)
    labels[:, 8:, :8] = 1
    for t in range(4):
        labels[t, t : t + 3, 10:13] = 2
    colours = np.array([[200, 200, 200], [200, 30, 30], [30, 30, 200]])[labels]
    return (colours + rng.integers(-5, 6, size=colours.shape)).astype(np.uint8), labels


def test_kmeans_finds_flat_colours_and_numbers_them_by_size():
    frames, labels = coloured_clip()
    found = kmeans_colour(frames, 3, seed=0)
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels)


def test_kmeans_is_the_same_again_and_has_a_seed():
    frames = np.random.default_rng(1).integers(256, size=(2, 16, 16, 3)).astype(np.uint8)
    assert np.array_equal(kmeans_colour(frames, 5, seed=3), kmeans_colour(frames, 5, seed=3))
    assert not np.array_equal(kmeans_colour(frames, 5, seed=3), kmeans_colour(frames, 5, seed=4))


def test_kmeans_weighs_colours_by_their_pixels():
    # Four greys, two segments. Without weights the split is in the middle; with almost all
    # pixels at 0 and 60 it has to separate those two.
    frames = np.zeros((1, 10, 10, 3), dtype=np.uint8)
    frames[:, 5:] = 60
    frames[0, 9, 8], frames[0, 9, 9] = 110, 120
    labels = kmeans_colour(frames, 2, seed=0)[0]
    assert labels[0, 0] != labels[5, 0] == labels[9, 9]


def test_kmeans_with_fewer_colours_than_segments():
    frames = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    frames[:, :2] = 255
    labels = kmeans_colour(frames, 6, seed=0)
    assert (labels[:, :2] == 1).all()
    assert (labels[:, 2:] == 0).all()


@pytest.mark.parametrize(
    ("frames", "num_segments", "message"),
    [
        (np.zeros((2, 8, 8, 3)), 2, "float64"),
        (np.zeros((8, 8, 3), dtype=np.uint8), 2, r"\(T, H, W, 3\)"),
        (np.zeros((2, 8, 8, 3), dtype=np.uint8), 0, "num_segments is 0"),
    ],
)
def test_kmeans_refuses_wrong_input(frames, num_segments, message):
    with pytest.raises(ValueError, match=message):
        kmeans_colour(frames, num_segments, seed=0)


def test_boxes_cover_the_pixels_between_their_edges_and_are_held():
    labels = held_boxes(np.array([[0.25, 0.5, 0.75, 1.0]]), 3, height=8, width=4)
    expected = np.zeros((8, 4))
    expected[2:6, 2:4] = 1
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.stack([expected] * 3))


def test_edges_that_data_stores_in_float32_come_back_exactly():
    for size in (32, 64, 100):
        first, last = np.triu_indices(size)
        edges = np.stack([first / size, (last + 1) / size], axis=1).astype(np.float32)
        for (low, high), start, end in list(zip(edges, first, last, strict=True))[::97]:
            labels = held_boxes(np.array([[low, 0, high, 1]]), 1, size, 1)
            assert np.flatnonzero(labels).tolist() == list(range(start, end + 1))


def test_smaller_boxes_are_on_top_and_absent_ones_left_out():
    boxes = np.array([[0.25, 0.25, 0.5, 0.5], [0, 0, 1, 1], [-1, -1, -1, -1]])
    labels = held_boxes(boxes, 1, 8, 8)[0]
    assert labels[2:4, 2:4].tolist() == [[1, 1], [1, 1]]
    assert (labels == 1).sum() == 4
    assert (labels == 2).sum() == 60


def test_a_present_box_has_a_pixel_even_at_the_border():
    assert (held_boxes(np.array([[1.0, 1.0, 1.0, 1.0]]), 1, 4, 4)[0] == 1).sum() == 1


@pytest.mark.parametrize(
    "box", [[0.5, 0, 0.25, 1], [0, 0, 1.5, 1], [-1, 0, 1, 1], [-0.1, 0, 1, 1], [np.nan, 0, 1, 1]]
)
def test_impossible_boxes_are_refused(box):
    with pytest.raises(ValueError, match="box 1 is"):
        held_boxes(np.array([[0, 0, 1, 1], box]), 1, 4, 4)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(K, 4\)"):
        held_boxes(np.zeros((3, 5)), 1, 4, 4)
