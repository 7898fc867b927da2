"""Figures of rollouts show what a made-up comparison says, pixel by pixel."""

import numpy as np
import pytest

from ocvp.pictures.compared import Comparison
from ocvp.pictures.decoded import Decoded
from ocvp.pictures.rollouts import (
    Shown,
    error_pictures,
    rollouts_animation,
    rollouts_strip,
    tracks,
    tracks_figure,
)

T, CONTEXT, SIDE = 6, 3, 16
COLOURS = np.array([[150, 150, 150], [0, 114, 178], [230, 159, 0]], dtype=np.uint8)


def moved(rows):
    """Labels of an object of 2 by 2 pixels: 1 there, 0 elsewhere; shape (T, SIDE, SIDE)."""
    labels = np.zeros((T, SIDE, SIDE), dtype=np.uint8)
    for t, row in enumerate(rows):
        labels[t, row : row + 2, 4:6] = 1
    return labels


def found(labels, colour):
    """What slots decode to whose hard segments are these labels, all of one colour."""
    masks = np.stack([labels == slot for slot in range(3)], axis=1).astype(np.float32)
    frames = np.full((T, SIDE, SIDE, 3), colour, dtype=np.uint8)
    return Decoded(frames, np.zeros((T, 3, SIDE, SIDE, 3), np.float32), masks)


TRUE = moved(range(T))
STILL = moved([0, 1, 2, 2, 2, 2])


def shown(*, has_masks=True):
    frames = np.full((T, SIDE, SIDE, 3), (200, 90, 10), dtype=np.uint8)
    rollouts = {"lstm": found(TRUE, (0, 0, 255)), "ocvp_seq": found(STILL, (0, 255, 0))}
    comparison = Comparison(
        frames, TRUE if has_masks else None, [0, 1] if has_masks else [-1], COLOURS, rollouts, {}
    )
    return Shown(comparison, CONTEXT, "cubes", {"lstm": "mIoU 1", "ocvp_seq": "mIoU 0.5"})


def area(picture, colour):
    return int((picture == colour).all(axis=-1).sum())


def test_a_strip_has_the_frames_of_truth_and_of_every_predictor():
    picture = rollouts_strip(shown(), 4)
    cells = T * (4 * SIDE) ** 2
    for colour in ((200, 90, 10), (0, 0, 255), (0, 255, 0)):
        assert area(picture, colour) == cells
    alone = shown()
    alone = Shown(alone.comparison, CONTEXT, "cubes", {"lstm": "mIoU 1"})
    rows = picture.shape[0] - rollouts_strip(alone, 4).shape[0]
    assert rows == pytest.approx(3 * 4 * SIDE, abs=20)
    without = rollouts_strip(shown(has_masks=False), 4)
    assert picture.shape[0] - without.shape[0] == pytest.approx(4 * SIDE, abs=10)


def test_an_animation_has_a_column_for_each_and_fits_a_screen():
    pictures = rollouts_animation(shown(), 4)
    assert len(pictures) == T
    for picture in pictures:
        for colour in ((200, 90, 10), (0, 0, 255), (0, 255, 0)):
            assert area(picture, colour) == (4 * SIDE) ** 2
    assert rollouts_animation(shown(), 400)[0].shape[1] <= 1650


def test_an_animation_of_one_predictor_is_a_row():
    alone = Shown(shown().comparison, CONTEXT, "cubes", {"lstm": "mIoU 1"})
    (first, *_), (of_two, *_) = rollouts_animation(alone, 4), rollouts_animation(shown(), 4)
    assert first.shape[0] < of_two.shape[0] / 2
    assert first.shape[1] >= 5 * 4 * SIDE
    assert rollouts_animation(alone, 400)[0].shape[1] <= 1650


def test_errors_are_black_where_a_prediction_is_right_and_bright_where_it_is_not():
    frames = np.zeros((1, 1, 3, 3), dtype=np.uint8)
    predicted = frames.copy()
    predicted[0, 0, 1], predicted[0, 0, 2] = 64, 255
    right, wrong, far = error_pictures(frames, predicted)[0, 0].astype(int)
    assert right.sum() < 10
    assert right.sum() < wrong.sum() < far.sum()
    half = np.full_like(frames, 128)  # errors from half the range on look alike
    np.testing.assert_array_equal(error_pictures(frames, half)[0, 0, 0], far)


def test_tracks_are_those_of_the_objects_and_of_the_slots_that_held_them():
    (object_track,) = tracks(shown().comparison, "ocvp_seq", CONTEXT)
    true, predicted, colour = object_track
    np.testing.assert_allclose(true, [[2.5 + t, 4.5] for t in range(4)])  # centres of 2 by 2
    np.testing.assert_allclose(predicted, [[2.5, 4.5]] * 4)
    np.testing.assert_allclose(colour, COLOURS[1] / 255)


def test_without_masks_tracks_are_those_of_slots_before_and_after():
    (track,) = tracks(shown(has_masks=False).comparison, "lstm", CONTEXT)
    seen, predicted, _ = track
    np.testing.assert_allclose(seen[:, 0], [0.5, 1.5, 2.5])
    np.testing.assert_allclose(predicted[:, 0], [2.5, 3.5, 4.5, 5.5])


def test_tracks_are_drawn_where_the_objects_are():
    figure = tracks_figure(shown())
    assert [axes.get_title() for axes in figure.axes] == ["LSTM, mIoU 1", "OCVP-Seq, mIoU 0.5"]
    assert figure.get_suptitle() == "cubes"
    true, predicted = figure.axes[1].lines
    assert true.get_ydata().tolist() == [2.5, 3.5, 4.5, 5.5]
    assert predicted.get_ydata().tolist() == [2.5] * 4
    assert set(predicted.get_xdata()) == {4.5}
    assert figure.axes[1].get_ylim()[0] > figure.axes[1].get_ylim()[1]  # rows go down
