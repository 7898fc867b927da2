"""Colours of segments and pixels of overlays that are known beforehand."""

import numpy as np
import pytest

from ocvp.pictures.overlays import (
    BACKGROUND,
    PALETTE,
    background_slot,
    object_colours,
    overlay,
    palette,
    slot_colours,
    slot_pictures,
    upscale,
)


@pytest.mark.parametrize("count", [0, 1, 12, 13, 36, 50])
def test_palette_has_as_many_colours_as_asked(count):
    colours = palette(count)
    assert colours.shape == (count, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == min(count, 36)


def test_a_slot_looks_like_its_object():
    colours = slot_colours(5, np.array([3, -1, 1]), background=0)
    objects = object_colours(3)[1:]
    assert colours[3].tolist() == objects[0].tolist()
    assert colours[1].tolist() == objects[2].tolist()
    assert colours[0].tolist() == BACKGROUND.tolist()
    assert len(np.unique(colours, axis=0)) == 5


def test_a_slot_of_an_object_is_not_greyed_as_background():
    assert slot_colours(2, np.array([0]), background=0)[0].tolist() == PALETTE[0].tolist()


def test_slots_without_an_assignment_take_the_palette_in_order():
    assert np.array_equal(slot_colours(4), palette(4))


@pytest.mark.parametrize(("assignment", "background"), [([4], None), (None, 4), ([-2], None)])
def test_slots_that_do_not_exist_are_refused(assignment, background):
    with pytest.raises(ValueError, match="there are 4 slots"):
        slot_colours(4, assignment, background)


def test_the_background_slot_covers_most_of_the_true_background():
    true = np.array([[0, 0, 0, 1, 1, 1, 1]])
    assert background_slot(true, np.array([[2, 2, 0, 1, 1, 1, 1]])) == 2
    assert background_slot(np.ones((1, 2), int), np.array([[3, 3]])) == 0


def test_overlay_is_the_colour_on_white_and_darker_on_black():
    frames = np.array([[[255] * 3, [0] * 3]], dtype=np.uint8)
    colours = np.array([[10, 20, 30], [200, 100, 50]], dtype=np.uint8)
    painted = overlay(frames, np.array([[1, 1]]), colours)
    assert painted[0, 0].tolist() == [200, 100, 50]
    assert painted[0, 1].tolist() == [140, 70, 35]


def test_enlarged_overlay_parts_the_segments_by_a_line():
    frames = np.full((1, 2, 3), 255, dtype=np.uint8)
    colours = np.array([[0, 0, 255], [255, 0, 0]], dtype=np.uint8)
    painted = overlay(frames, np.array([[0, 1]]), colours, factor=4)
    assert painted.shape == (4, 8, 3)
    assert (painted[:, :4] == [0, 0, 255]).all()
    assert (painted[:, 4] == 40).all()
    assert (painted[:, 5:] == [255, 0, 0]).all()


def test_upscale_repeats_pixels():
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    assert upscale(image, 2)[0, :, :, 0].tolist() == (
        [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    )
    with pytest.raises(ValueError, match="factor is 0"):
        upscale(image, 0)


def test_slot_pictures_show_the_object_inside_its_mask_and_a_checker_outside():
    objects = np.full((8, 8, 3), 0.5)
    masks = np.zeros((8, 8))
    masks[0, 0], masks[0, 1] = 1.0, 0.5
    picture = slot_pictures(objects, masks)
    assert picture[0, 0].tolist() == [128] * 3
    assert picture[0, 1].tolist() == [191] * 3  # half of 0.5, half of white
    assert picture[3, 3].tolist() == [255] * 3
    assert picture[0, 4].tolist() == [224] * 3


def test_shapes_that_do_not_match_are_refused():
    frames = np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="allowed are"):
        overlay(frames, np.zeros((4, 5), int), palette(1))
    with pytest.raises(ValueError, match="label 2 has no colour, there are 2"):
        overlay(frames, np.full((4, 4), 2), palette(2))
    with pytest.raises(ValueError, match="allowed are"):
        slot_pictures(np.zeros((4, 4, 3)), np.zeros((2, 4, 4)))
