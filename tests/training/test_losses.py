"""Losses with hand-computed values."""

import torch

from ocvp.training.losses import predictor_loss, savi_loss, square


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
