"""Slots of known objects, of absent ones, and of noise."""

import pytest
import torch

from ocvp.models.initializers import CoordinateSlots, LearnedRandomSlots, LearnedSlots

BOXES = torch.tensor([[[0.1, 0.2, 0.3, 0.4], [-1.0, -1.0, -1.0, -1.0]]])


def make(absent, num_coordinates=4):
    torch.manual_seed(0)
    module = CoordinateSlots(
        num_slots=4, slot_dim=6, num_coordinates=num_coordinates, absent=absent
    )
    if module.absent_slots is not None:
        torch.nn.init.normal_(module.absent_slots)
    return module


def test_learned_random_slots_scale_with_a_signed_sigma():
    module = LearnedRandomSlots(slot_dim=2)
    with torch.no_grad():
        module.mean.copy_(torch.tensor([[[1.0, 2.0]]]))
        module.sigma.copy_(torch.tensor([[[3.0, -4.0]]]))
    slots = module(torch.tensor([[[1.0, 1.0], [0.0, -1.0]]]))
    assert slots.tolist() == [[[4.0, -2.0], [1.0, 6.0]]]


def test_learned_slots_are_the_same_for_all_videos():
    module = LearnedSlots(num_slots=2, slot_dim=3)
    with torch.no_grad():
        module.slots.copy_(torch.arange(6.0).view(2, 3))
    assert module(2).tolist() == [[[0, 1, 2], [3, 4, 5]]] * 2


def test_absent_objects_get_a_learned_slot_each():
    module = make("learned")
    slots = module(BOXES)
    torch.testing.assert_close(slots[0, 0], module.mlp(BOXES[0, 0]))
    assert torch.equal(slots[0, 1:], module.absent_slots[1:])


def test_published_absent_objects_go_through_the_mlp():
    module = make("published")
    slots = module(BOXES)
    torch.testing.assert_close(slots[0, 0], module.mlp(BOXES[0, 0]))
    expected = module.mlp(torch.full((4,), -0.5))
    torch.testing.assert_close(slots[0, 1:], expected.expand(3, 6))
    assert set(dict(module.named_parameters())) == {
        "mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias",
    }  # fmt: skip


def test_a_coordinate_of_zero_is_present():
    boxes = torch.zeros(1, 4, 4)
    module = make("learned")
    torch.testing.assert_close(module(boxes)[0, 0], module.mlp(boxes[0, 0]))


def test_the_first_frame_counts():
    boxes = torch.rand(2, 3, 4, 4)
    module = make("learned")
    assert torch.equal(module(boxes), module(boxes[:, 0]))


def test_more_objects_than_slots_are_refused():
    with pytest.raises(ValueError, match="5 objects for 4 slots"):
        make("learned")(torch.rand(1, 5, 4))


def test_other_coordinates_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\).*\(B, K, 2\)"):
        make("learned", num_coordinates=2)(torch.rand(2, 3, 4))


def test_fractions_are_seen_from_minus_one_to_one():
    torch.manual_seed(0)
    arguments = {"num_slots": 2, "slot_dim": 8, "num_coordinates": 4, "absent": "learned"}
    fractions = CoordinateSlots(**arguments, are_fractions=True)
    plain = CoordinateSlots(**arguments)
    plain.load_state_dict(fractions.state_dict())
    boxes = torch.tensor([[[0.0, 0.25, 0.5, 1.0], [0.5, 0.5, 0.75, 0.75]]])
    seen = torch.tensor([[[-1.0, -0.5, 0.0, 1.0], [0.0, 0.0, 0.5, 0.5]]])
    torch.testing.assert_close(fractions(boxes), plain(seen))
