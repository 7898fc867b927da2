"""Cards: pictures that fit into what TensorBoard gives them."""

import numpy as np
import pytest

from ocvp.pictures.cards import clip_card, rollout_card, slots_card
from ocvp.pictures.overlays import palette
from ocvp.pictures.strips import CONTEXT_COLOUR, PREDICTED_COLOUR

WIDTH, HEIGHT = 350, 215
"""What the page has for a picture (tests/programs/test_watch.py measures it)."""
SIZES = [(16, 16), (64, 64), (128, 128), (48, 128), (128, 40)]
RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def flat(count, size, colour):
    return np.full((count, *size, 3), colour, np.uint8)


def share(picture, colour):
    """Return the share of a picture that has a colour."""
    return (picture == colour).all(axis=-1).mean()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("num_frames", [1, 4, 30])
def test_a_clip_has_the_size_of_the_page_and_shows_its_rows(size, num_frames):
    labels = np.ones((num_frames, *size), np.uint8)
    picture = clip_card(flat(num_frames, size, RED), flat(num_frames, size, GREEN), labels)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (WIDTH, 3)
    assert picture.shape[0] <= HEIGHT
    # Truth and reconstruction take as much room; frames keep their shape.
    assert share(picture, RED) == share(picture, GREEN) > 0
    rows, columns = (np.flatnonzero((picture == RED).all(axis=-1).any(axis=a)) for a in (1, 0))
    cells = min(num_frames, 4)
    height, width = len(rows), len(columns) / cells
    assert height / width == pytest.approx(size[0] / size[1], rel=0.1)
    assert max(height, width) >= 40


@pytest.mark.parametrize("num_slots", [1, 2, 5, 7, 11, 24])
@pytest.mark.parametrize("size", SIZES)
def test_each_slot_is_shown_as_large_as_fits(num_slots, size):
    colours = np.linspace(0.2, 0.8, num_slots)[:, None, None, None]
    objects = np.broadcast_to(colours, (num_slots, *size, 3))
    picture = slots_card(objects, np.ones((num_slots, *size), np.float32))
    assert picture.shape[1:] == (WIDTH, 3)
    assert picture.shape[0] <= HEIGHT
    greys = np.rint(255 * colours[:, 0, 0, 0]).astype(np.uint8)
    areas = [share(picture, (grey, grey, grey)) for grey in greys]
    assert min(areas) == pytest.approx(max(areas), rel=0.3)  # text may have a grey by chance
    assert sum(areas) > 0.15
    for colour in palette(num_slots):
        assert share(picture, colour) > 0  # beside its caption


def test_context_and_prediction_are_told_apart():
    labels = np.zeros((10, 64, 64), np.uint8)
    frames = flat(10, (64, 64), BLUE)
    card = rollout_card(frames, frames, labels, 6)
    assert share(card, CONTEXT_COLOUR) > 0
    assert share(card, PREDICTED_COLOUR) > 0
    columns = [
        np.flatnonzero((card == colour).all(axis=-1).any(axis=0))
        for colour in (CONTEXT_COLOUR, PREDICTED_COLOUR)
    ]
    assert columns[0].max() < columns[1].min()


def test_the_last_frames_are_shown():
    frames = flat(30, (64, 64), BLUE)
    frames[-1], frames[0], frames[5], frames[6] = RED, GREEN, (9, 9, 99), (99, 9, 9)
    labels = np.zeros((30, 64, 64), np.uint8)
    assert share(clip_card(frames, frames, labels), RED) > 0.01
    card = rollout_card(frames, frames, labels, 6)
    for colour in (RED, (9, 9, 99), (99, 9, 9)):  # the last of either, and the first predicted one
        assert share(card, colour) > 0.01
