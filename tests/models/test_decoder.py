"""The fast decoder equals the plain one, in float64, border and gradients included."""

import pytest
import torch

from ocvp.models.decoder import Decoder, border_taps, parity_taps


def make(**changes):
    """Return a small float64 decoder with biases that are not zero."""
    torch.manual_seed(0)
    arguments = {"slot_dim": 6, "channels": (5, 4, 3), "resolution": (6, 7)} | changes
    decoder = Decoder(**arguments).double()
    # cast from float32, the 0/1 matrices are exact and the grid only has to be the same
    return decoder, torch.randn(4, 6, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("upsample", [True, False])
@pytest.mark.parametrize("channels", [(5,), (5, 4), (5, 4, 3)])
@pytest.mark.parametrize("resolution", [(6, 7), (2, 3), (1, 8)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9])
def test_fast_form_is_exact(kernel_size, resolution, channels, upsample):
    decoder, slots = make(
        kernel_size=kernel_size, resolution=resolution, channels=channels, upsample=upsample
    )
    leaves = [slots, *decoder.parameters()]
    fast = decoder(slots)
    decoder.fast = False
    plain = decoder(slots)
    factor = 2 ** (len(channels) - 1) if upsample else 1
    assert fast.shape == (4, 4, resolution[0] * factor, resolution[1] * factor)
    torch.testing.assert_close(fast, plain, rtol=1e-11, atol=1e-12)
    direction = torch.randn_like(plain)
    for gradient, expected in zip(
        torch.autograd.grad(fast, leaves, direction),
        torch.autograd.grad(plain, leaves, direction),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    "changes", [{}, {"upsample": False}, {"channels": (5,)}], ids=["doubled", "flat", "one layer"]
)
def test_targets_are_channels_after_the_others(changes):
    decoder, slots = make(targets=("depth", "flow"), **changes)
    every = decoder(slots, with_targets=True)
    torch.testing.assert_close(every[:, :4], decoder(slots), rtol=1e-11, atol=1e-12)
    for fast in (True, False):
        decoder.fast = fast
        every = decoder(slots, with_targets=True)
        assert every.shape[1] == 4 + 1 + 3
        # The same features, read by the layers of the targets in place of the first four channels.
        for name, found in zip(("depth", "flow"), every[:, 4:].split([1, 3], dim=1), strict=True):
            other, _ = make(**changes)
            other.load_state_dict(decoder.state_dict(), strict=False)
            other.output = decoder.targets[name]
            torch.testing.assert_close(other(slots), found, rtol=1e-11, atol=1e-12)


def test_without_targets_the_weights_are_those_of_the_published_decoder():
    decoder, _ = make()
    layers = ["position.projection", "convolutions.0", "convolutions.1", "convolutions.2", "output"]
    names = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert set(decoder.state_dict()) == names
    with_depth, _ = make(targets=("depth",))
    extra = {"targets.depth.weight", "targets.depth.bias"}
    assert set(with_depth.state_dict()) == names | extra


def test_slots_are_decoded_apart():
    decoder, slots = make()
    torch.testing.assert_close(decoder(slots)[2:3], decoder(slots[2:3]), rtol=1e-11, atol=1e-12)


def test_parity_taps_of_a_5x5_kernel():
    even, odd = parity_taps(5).tolist()
    # an even output pixel reads the small pixel before it twice, its own twice, the next once
    assert even == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
    assert odd == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]]


def test_border_taps_cut_what_lies_outside():
    assert border_taps(3, 8).tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 0]]
    assert border_taps(3, 1).tolist() == [[0, 1, 0]]


def test_only_parameters_are_stored():
    decoder, _ = make()
    assert set(decoder.state_dict()) == {name for name, _ in decoder.named_parameters()}
