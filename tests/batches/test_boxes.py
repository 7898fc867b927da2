"""Boxes in both conventions, with the pixel values that the published conversion gives."""

import pytest
import torch

from ocvp.batches.boxes import model_boxes, model_centres, model_conditions

# (y_min, x_min, y_max, x_max) at side 128: inside the frame, touching three borders, absent
PIXELS = torch.tensor([[41.5, 63.0, 57.5, 76.5], [0.0, 2.5, 128.0, 128.0], [-128.0] * 4])
BOXES = PIXELS / 128


def test_published_boxes_are_clipped_and_halved():
    assert model_boxes(BOXES, "published_pixels").tolist() == [
        [31.5, 20.75, 38.25, 28.75],
        [1.25, 0.5, 63.5, 63.5],
        [-0.5, -0.5, -0.5, -0.5],
    ]


def test_published_centres_are_rounded_before_halving():
    # (69.75, 49.5) rounds to (70, 50); (64.75, 64) of the clipped box to (65, 64)
    assert model_centres(BOXES, "published_pixels").tolist() == [
        [35.0, 25.0],
        [32.5, 32.0],
        [-0.5, -0.5],
    ]


def test_fractions_stay_as_they_are():
    assert model_boxes(BOXES, "yxyx_fraction") is BOXES
    centres = model_centres(BOXES, "yxyx_fraction")
    assert centres.tolist() == [[49.5 / 128, 69.75 / 128], [0.5, 65.25 / 128], [-1.0, -1.0]]


def test_conditions_name_what_the_initializer_takes():
    conditions = model_conditions(BOXES, initializer="boxes", box_format="published_pixels")
    assert torch.equal(conditions["boxes"], model_boxes(BOXES, "published_pixels"))
    conditions = model_conditions(BOXES, initializer="centres", box_format="yxyx_fraction")
    assert set(conditions) == {"centres"}
    assert model_conditions(None, initializer="random", box_format="yxyx_fraction") == {}
    with pytest.raises(ValueError, match="initializer is 'boxes' and the videos have no boxes"):
        model_conditions(None, initializer="boxes", box_format="yxyx_fraction")
