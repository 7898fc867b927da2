"""Slots to spare, of frames that are put together by hand."""

import pytest
import torch

from ocvp.models.pruning import slots_to_spare

COLOURS = torch.tensor([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""Of the ground and two objects."""


def painted(*videos):
    """Frames (B, 3, 2, 4), objects (B, N, 3, 2, 4) and masks (B, N, 1, 2, 4).

    The first object is in column 0, the second in column 1. A video is a list of slots, a slot a
    colour and what it holds of the two object columns and of the ground.
    """
    truth = torch.tensor([[1, 2, 0, 0]] * 2)
    frames = COLOURS[truth].movedim(-1, 0).expand(len(videos), -1, -1, -1)
    objects = torch.stack(
        [COLOURS[[colour for colour, *_ in slots]][:, :, None, None] for slots in videos]
    ).expand(-1, -1, -1, 2, 4)
    shares = torch.tensor([[held for _, *held in slots] for slots in videos])  # (B, N, 3)
    masks = shares[:, :, [0, 1, 2, 2]][:, :, None, None].expand(-1, -1, -1, 2, -1)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(len(videos), 1, 2, 4))
    return frames + 0.01, objects, masks  # an error that all slots share


GROUND, FIRST, SECOND = (0, 0.001, 0.001, 1.0), (1, 0.999, 0.0, 0.0), (2, 0.0, 0.999, 0.0)


def test_slots_that_make_something_of_their_own_stay():
    assert not slots_to_spare(*painted([GROUND, FIRST, SECOND]), 0.1).any()


def test_of_two_that_share_an_object_one_is_to_spare():
    half = (1, 0.4995, 0.0, 0.0)
    spare = slots_to_spare(*painted([GROUND, half, SECOND, half]), 0.1)
    assert spare[0, [0, 2]].tolist() == [False, False]
    assert spare[0, [1, 3]].sum() == 1


def test_each_video_has_its_own_slots_to_spare():
    """One that holds next to nothing, and one of two that make the ground."""
    with_faint = [GROUND, (1, 0.998, 0.0, 0.0), SECOND, (2, 0.001, 0.0, 0.0)]
    by_place = [(0, 0.001, 0.001, 0.5), FIRST, SECOND, (0, 0.0, 0.0, 0.5)]
    faint, place = slots_to_spare(*painted(with_faint, by_place), 0.1).tolist()
    assert faint == [False, False, False, True]
    assert place in ([True, False, False, False], [False, False, False, True])


def test_one_slot_stays_even_where_none_makes_anything():
    frames = torch.full((1, 3, 2, 4), 0.3)
    objects, masks = torch.zeros(1, 4, 3, 2, 4), torch.full((1, 4, 1, 2, 4), 0.25)
    assert slots_to_spare(frames, objects, masks, 0.1).sum() == 3
    assert slots_to_spare(frames, objects[:, :1], 4 * masks[:, :1], 0.1).tolist() == [[False]]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_what_is_left_out_by_hand(seed):
    """With slots of noise: leave out, mix the others anew, and compare, until all are needed."""
    torch.manual_seed(seed)
    frame, objects = torch.rand(1, 3, 6, 6), torch.rand(1, 5, 3, 6, 6)
    masks = torch.randn(1, 5, 1, 6, 6).mul(3).softmax(dim=1)

    def error(slots):
        mixed = masks[0, slots] / masks[0, slots].sum(dim=0)
        return ((mixed * objects[0, slots]).sum(dim=0) - frame[0]).double().square().mean()

    left = [0, 1, 2, 3, 4]
    while len(left) > 1:
        without = {slot: error([other for other in left if other != slot]) for slot in left}
        slot = min(without, key=without.get)
        if without[slot] >= 1.04 * error(left):
            break
        left.remove(slot)
    assert len(left) < 5
    spare = slots_to_spare(frame, objects, masks, 0.04)
    assert (~spare[0]).nonzero().flatten().tolist() == left
