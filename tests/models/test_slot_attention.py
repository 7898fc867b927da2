"""Slot attention against its definition, with keys and values of every position."""

import pytest
import torch

from ocvp.models.slot_attention import SlotAttention


@pytest.fixture
def module():
    torch.manual_seed(0)
    return SlotAttention(input_dim=6, slot_dim=8, mlp_dim=12).double()


@pytest.fixture
def inputs(module):
    torch.manual_seed(1)
    return module.norm_inputs(torch.randn(3, 20, 6, dtype=torch.float64))


@pytest.fixture
def slots():
    torch.manual_seed(2)
    return torch.randn(3, 4, 8, dtype=torch.float64)


def by_definition(module, inputs, slots, num_iterations):
    """Return slots as algorithm 1 of Locatello et al. (2020) writes them."""
    keys, values = module.key(inputs), module.value(inputs)
    for _ in range(num_iterations):
        queries = module.query(module.norm_slots(slots))
        logits = torch.einsum("bnd,bpd->bnp", queries, keys) * inputs.shape[-1] ** -0.5
        attention = logits.softmax(dim=1) + 1e-8
        attention = attention / attention.sum(dim=-1, keepdim=True)
        updates = torch.einsum("bnp,bpd->bnd", attention, values)
        slots = module.gru(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        slots = slots + module.mlp(module.norm_mlp(slots))
    return slots


def test_attention_sums_to_one_over_slots(module, inputs, slots):
    attention = module.attention(inputs, slots)
    assert attention.shape == (3, 4, 20)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(3, 20, dtype=torch.float64))


@pytest.mark.parametrize("num_iterations", [1, 3])
def test_equals_the_definition(module, inputs, slots, num_iterations):
    expected = by_definition(module, inputs, slots, num_iterations)
    torch.testing.assert_close(module(inputs, slots, num_iterations), expected)
    assert (module(inputs, slots, num_iterations + 1) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("num_iterations", [1, 3])
def test_gradients_of_the_last_iteration_alone(module, inputs, slots, num_iterations):
    expected = module(inputs, slots, num_iterations)
    # --- by hand: one iteration from where the others lead
    leaf = by_definition(module, inputs, slots, num_iterations - 1).detach().requires_grad_()
    weights = [module.key.weight, module.gru.weight_hh, module.norm_slots.weight]
    by_hand = torch.autograd.grad(by_definition(module, inputs, leaf, 1).sum(), [leaf, *weights])
    # --- the module's
    module.last_gradient_only = True
    start = slots.clone().requires_grad_()
    corrected = module(inputs, start, num_iterations)
    assert torch.equal(corrected, expected)
    torch.testing.assert_close(torch.autograd.grad(corrected.sum(), [start, *weights]), by_hand)


def test_permuting_slots_permutes_the_output(module, inputs, slots):
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        module(inputs, slots[:, order], 2), module(inputs, slots, 2)[:, order]
    )


def test_permuting_positions_changes_nothing(module, inputs, slots):
    order = torch.randperm(inputs.shape[1])
    torch.testing.assert_close(module(inputs[:, order], slots, 2), module(inputs, slots, 2))


def test_a_slot_that_wins_no_position_stays_finite(module, inputs, slots):
    with torch.no_grad():
        module.query.bias.fill_(1e4)
    out = module(inputs, slots, 2)
    assert out.isfinite().all()


def test_an_empty_slot_takes_nothing_from_the_others(module, inputs, slots):
    empty = torch.tensor([[False, True, False, False]] * 3)
    rest = [0, 2, 3]
    torch.testing.assert_close(
        module(inputs, slots, 2, empty)[:, rest], module(inputs, slots[:, rest], 2)
    )
    assert not module.attention(inputs, slots, empty)[:, 1].any()
