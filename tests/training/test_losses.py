"""Losses with hand-computed values."""

import math

import pytest
import torch

from ocvp.models.savi import SaviOutput
from ocvp.training.losses import (
    PICTURE_TOLERANCE,
    made_by_slots,
    predictor_loss,
    savi_loss,
    shared_background,
    shared_objects,
    square,
)


def test_savi_loss_clamps_both():
    reconstruction = torch.tensor([-1.0, 0.5, 3.0, 0.25])
    frames = torch.tensor([0.0, 0.0, 1.5, 0.25])
    assert savi_loss(reconstruction, frames).item() == 0.25 / 4


def test_predictor_loss_does_not_clamp_and_weighs():
    loss = predictor_loss(
        square(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])) / 2,
        torch.tensor([3.0, 3.0]),
        torch.tensor([0.0, 3.0]),
        frame_weight=10.0,
        slot_weight=2.0,
    )
    assert loss["frame_mse"].item() == 0.5
    assert loss["slot_mse"].item() == 4.5
    assert loss["loss"].item() == 14.0


def test_short_floats_are_summed_up_in_float32():
    halves = torch.full((64,), 1.0 + 2**-7, dtype=torch.bfloat16)  # its square needs more bits
    zeros = torch.zeros(64, dtype=torch.bfloat16)
    expected = (1.0 + 2**-7) ** 2
    loss = predictor_loss(square(halves, zeros) / 64, halves, zeros)
    small = savi_loss(halves - 1.0, zeros) * 2**14
    for value in (loss["frame_mse"], loss["slot_mse"], small * expected):
        assert value.dtype == torch.float32
        assert value.item() == expected


# --- the background -------------------------------------------------------------------------------


def decoded(pictures, masks):
    """Slots of one frame that decode to gray pictures, (N, H, W), and masks, (N, H, W)."""
    objects = torch.tensor(pictures)[None, :, None].expand(-1, -1, 3, -1, -1).clone()
    masks = torch.tensor(masks)[None, :, None].requires_grad_()
    return SaviOutput(torch.zeros(1, 2, 4), objects[0, 0, None], objects.requires_grad_(), masks)


# A frame of four pixels, of which the last one is an object. The second slot makes the ground.
FRAME = torch.tensor([[0.2, 0.2, 0.2, 0.9]]).expand(1, 3, 1, 4)
PICTURES = [[[0.9, 0.9, 0.2, 0.9]], [[0.2, 0.2, 0.2, 0.2]]]
MASKS = [[[0.25, 0.0, 1.0, 0.9]], [[0.75, 1.0, 0.0, 0.1]]]


def test_what_is_shared_of_the_background_is_what_its_slot_does_not_hold():
    output = decoded(PICTURES, MASKS)
    shared = shared_background(output, made_by_slots(output, FRAME))
    # The object's pixel is not made by the background's slot: nothing is asked for there.
    torch.testing.assert_close(shared, torch.tensor([[[[0.25, 0.0, 1.0, 0.0]]]]))
    shared.sum().backward()
    torch.testing.assert_close(
        output.masks.grad[0, :, 0, 0],
        torch.tensor([[0.0, 0, 0, 0], [-1.0, -1, -1, 0]]),
        atol=1e-6,
        rtol=0,
    )
    assert output.objects.grad is None  # no picture becomes more like the frame by it


def test_a_picture_that_is_less_like_the_frame_asks_for_less():
    off = math.sqrt(PICTURE_TOLERANCE)  # of each colour
    output = decoded([[[0.9]], [[0.2 + off]]], [[[0.5]], [[0.5]]])
    shared = shared_background(output, made_by_slots(output, FRAME[..., :1]))
    assert shared.item() == pytest.approx(0.5 / math.e, rel=1e-4)


def test_without_a_background_nothing_is_asked_for():
    noise = torch.rand(3, 5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    output = SaviOutput(torch.zeros(3, 5, 4), noise[:, 0], noise, torch.full((3, 5, 1, 8, 8), 0.2))
    assert shared_background(output, made_by_slots(output, noise.mean(dim=1))).mean() < 0.02


def test_each_frame_has_a_background_of_its_own():
    both = [
        decoded([[[0.2]], [[0.9]]], [[[0.3]], [[0.7]]]),
        decoded([[[0.9]], [[0.2]]], [[[0.3]], [[0.7]]]),
    ]
    output = SaviOutput(*(torch.cat(parts) for parts in zip(*both, strict=True)))
    shared = shared_background(output, made_by_slots(output, FRAME[..., :1].expand(2, -1, -1, -1)))
    torch.testing.assert_close(shared.flatten(), torch.tensor([0.7, 0.3]))


# --- objects that slots share ---------------------------------------------------------------------


# Three pixels of ground, two of an object.
GROUND = [[0.2, 0.2, 0.2, 0.2, 0.2]]
OBJECT = [[0.9, 0.9, 0.9, 0.9, 0.9]]
SHOWN = torch.tensor([[0.2, 0.2, 0.2, 0.9, 0.9]]).expand(1, 3, 1, 5)


def test_what_is_shared_of_objects_is_what_smaller_slots_hold():
    half = [[0.5, 0.5, 0.5, 0.5, 0.9]]
    output = decoded(
        [GROUND, OBJECT, OBJECT, half],
        [
            [[0.6, 0.6, 1.0, 0.0, 0.0]],
            [[0.0, 0.0, 0.0, 0.4, 0.1]],
            [[0.2, 0.0, 0.0, 0.6, 0.5]],
            [[0.2, 0.4, 0.0, 0.0, 0.4]],
        ],
    )
    shared = shared_objects(output, made_by_slots(output, SHOWN))
    # The third slot has 1.3 pixels, the fourth 1.0 and the second 0.5. What they hold of the ground
    # is the other loss's.
    torch.testing.assert_close(shared, torch.tensor([[[[0.0, 0.0, 0.0, 0.4, 0.5]]]]))
    shared.sum().backward()
    smaller, none = [0.0, 0.0, 0.0, 1.0, 1.0], [0.0] * 5
    torch.testing.assert_close(
        output.masks.grad[0, :, 0, 0],
        torch.tensor([none, smaller, none, smaller]),
        atol=1e-6,
        rtol=0,
    )
    assert output.objects.grad is None  # no picture becomes less like the frame by it


def test_a_larger_slot_that_does_not_make_an_object_leaves_it_to_smaller_ones():
    output = decoded(
        [GROUND, [[0.5] * 5], OBJECT],
        [
            [[0.5, 0.5, 0.5, 0.0, 0.0]],
            [[0.5, 0.5, 0.5, 0.6, 0.6]],
            [[0.0, 0.0, 0.0, 0.4, 0.4]],
        ],
    )
    assert shared_objects(output, made_by_slots(output, SHOWN)).max() < 1e-6


def test_which_slot_is_larger_is_seen_in_each_frame():
    ground, ahead, behind = (
        [[1.0, 1.0, 1.0, 0, 0]],
        [[0.0, 0, 0, 0.7, 0.7]],
        [[0.0, 0, 0, 0.3, 0.3]],
    )
    both = [
        decoded([GROUND, OBJECT, OBJECT], [ground, *masks])
        for masks in ([ahead, behind], [behind, ahead])
    ]
    output = SaviOutput(*(torch.cat(parts) for parts in zip(*both, strict=True)))
    output.masks.retain_grad()
    shared_objects(output, made_by_slots(output, SHOWN.expand(2, -1, -1, -1))).sum().backward()
    assert output.masks.grad.amax(dim=(2, 3, 4)).round().tolist() == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("num_slots", [1, 2])
def test_without_two_slots_for_objects_none_is_shared(num_slots):
    output = decoded([OBJECT] * num_slots, [[[1 / num_slots] * 5]] * num_slots)
    assert shared_objects(output, made_by_slots(output, SHOWN)).tolist() == [[[[0.0] * 5]]]
