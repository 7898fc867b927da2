"""Errors of decoded slots, part by part, against one backward pass over all of them."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ocvp.models.precision import autocast
from ocvp.models.savi import SAVi
from ocvp.training import decoding
from ocvp.training.decoding import mean_squares
from ocvp.training.losses import savi_squares

NUM_FRAMES, NUM_SLOTS, SIDE = 7, 3, 16
WEIGHTS = {"frames": 1.0, "difference": 0.5, "depth": 3.0}


@pytest.fixture
def parts(monkeypatch):
    """Decode two frames at once: the last part is shorter, and has no difference to predict."""
    monkeypatch.setattr(decoding, "PIXELS_ON_CPU", 2 * NUM_SLOTS * SIDE * SIDE + 1)


def make_savi(dtype=torch.float32, side=SIDE, channels=(8, 8), targets=("difference", "depth")):
    torch.manual_seed(0)
    savi = SAVi(
        resolution=(side, side), num_slots=NUM_SLOTS, slot_dim=8, encoder_channels=[8],
        encoder_mlp_dim=8, slot_mlp_dim=8, decoder_channels=channels, decoder_resolution=(8, 8),
        num_iterations_first=1, num_iterations=1, initializer="learned", targets=targets,
    )  # fmt: skip
    for name, parameter in savi.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return savi.to(dtype)


def make_batch(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    slots = draw(NUM_FRAMES, NUM_SLOTS, 8).requires_grad_()
    truths = {
        "frames": draw(NUM_FRAMES, 3, SIDE, SIDE) + 0.5,
        "difference": draw(NUM_FRAMES - 2, 3, SIDE, SIDE),
        "depth": draw(NUM_FRAMES, 1, SIDE, SIDE),
    }
    return slots, truths


def by_parts(savi, slots, truths, precision="float32"):
    def squares_of(slots, truths):
        output, predicted = savi.decode_with_targets(slots)
        return savi_squares(output.reconstruction, predicted, truths)

    parameters = [p for p in savi.decoder.parameters() if p.requires_grad]
    with autocast(precision, "cpu"):
        return mean_squares(squares_of, slots, truths, WEIGHTS, parameters)


def at_once(savi, slots, truths, precision="float32"):
    """Return the same from torch's own means, and one graph of everything."""
    with autocast(precision, "cpu"):
        output, predicted = savi.decode_with_targets(slots)
        found = {"frames": output.reconstruction.clamp(0, 1), **predicted}
        true = truths | {"frames": truths["frames"].clamp(0, 1)}
        means = {k: functional.mse_loss(found[k][: len(v)].to(v), v) for k, v in true.items()}
        return sum(WEIGHTS[name] * mean for name, mean in means.items()), means


def gradients(way, savi, batch, precision="float32", scale=0.25):
    """Return losses, and gradients of slots and weights, of a loss that counts by a share."""
    savi.zero_grad()
    slots, truths = batch
    slots.grad = None
    loss, means = way(savi, slots, truths, precision)
    (scale * loss).backward()
    weights = {name: p.grad for name, p in savi.decoder.named_parameters()}
    return {"loss": loss.detach()} | means, {"slots": slots.grad} | weights


@pytest.mark.parametrize(
    ("dtype", "precision", "tolerance"),
    [
        (torch.float64, "float32", 1e-12),
        (torch.float32, "float32", 1e-5),
        (torch.float32, "bfloat16", 5e-2),
    ],
)
def test_losses_and_gradients_are_those_of_one_backward_pass(parts, dtype, precision, tolerance):
    savi, batch = make_savi(dtype), make_batch(dtype)
    losses, found = gradients(by_parts, savi, batch, precision)
    expected_losses, expected = gradients(at_once, savi, batch, precision)
    for name, value in expected_losses.items():
        torch.testing.assert_close(losses[name], value, rtol=tolerance, atol=0)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():  # each as a whole: some of its numbers are near 0
        assert (found[name] - gradient).norm() <= tolerance * gradient.norm(), name


def test_it_is_computed_part_by_part_and_gradients_agree_with_small_differences(parts):
    savi, (slots, truths) = make_savi(torch.float64, channels=(2, 2)), make_batch(torch.float64)
    seen = []
    savi.decoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    loss = by_parts(savi, slots, truths)[0]
    assert seen == [2 * NUM_SLOTS] * 3 + [NUM_SLOTS]
    loss.backward()
    step = torch.zeros_like(slots)
    step[4, 1, 5] = 1e-5
    with torch.no_grad():  # where no gradients are computed
        up, down = (by_parts(savi, slots + sign * step, truths)[0] for sign in (1, -1))
    assert slots.grad[4, 1, 5].item() == pytest.approx((up - down).item() / 2e-5, rel=1e-5)


def test_a_frozen_decoder_hands_gradients_on_and_gets_none(parts):
    savi, batch = make_savi(), make_batch()
    expected = gradients(at_once, savi, batch)[1]["slots"]
    savi.requires_grad_(False)
    _, found = gradients(by_parts, savi, batch)
    torch.testing.assert_close(found.pop("slots"), expected, rtol=1e-5, atol=1e-8)
    assert set(found.values()) == {None}


def test_without_gradients_nothing_is_kept_and_means_are_the_same(parts):
    savi, (slots, truths) = make_savi(), make_batch()
    with torch.no_grad():
        loss, means = by_parts(savi, slots, truths)
    assert not loss.requires_grad
    with_gradients, others = by_parts(savi, slots, truths)
    assert with_gradients.requires_grad
    assert torch.equal(loss, with_gradients)
    assert all(torch.equal(means[name], value) for name, value in others.items())
    assert not any(value.requires_grad for value in others.values())


def most_kept(way, savi, batch):
    """Return the most bytes that a step keeps for a backward pass at any time."""
    kept = []

    class Kept:
        def __init__(self, tensor):
            self.tensor = tensor
            kept.append(kept[-1] + tensor.nbytes if kept else tensor.nbytes)

        def __del__(self):
            kept.append(kept[-1] - self.tensor.nbytes)

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda held: held.tensor):
        gradients(way, savi, batch)
    assert kept[-1] == 0
    return max(kept)


def test_no_more_is_kept_than_the_maps_of_a_part(parts):
    savi, batch = make_savi(), make_batch()
    # 2 frames of 7, beside gradients and weights
    assert most_kept(by_parts, savi, batch) < 0.4 * most_kept(at_once, savi, batch)
