"""SAVi: the loop over time, conditions, counts of parameters, and refused arguments."""

import pytest
import torch

from ocvp.models.savi import SAVi
from ocvp.training.losses import savi_loss

SMALL = {
    "resolution": (16, 16),
    "num_slots": 3,
    "slot_dim": 8,
    "encoder_channels": (4, 5),
    "encoder_mlp_dim": 6,
    "slot_mlp_dim": 7,
    "decoder_channels": (5, 4),
    "decoder_resolution": (8, 8),
    "num_iterations_first": 2,
    "num_iterations": 1,
    "initializer": "learned_random",
}
PUBLISHED = {
    "resolution": (64, 64),
    "slot_dim": 128,
    "encoder_channels": (32,) * 4,
    "decoder_channels": (64,) * 4,
    "decoder_resolution": (8, 8),
    "box_format": "published_pixels",
    "absent": "published",
}


def make(**changes):
    torch.manual_seed(0)
    return SAVi(**(SMALL | changes))


@pytest.fixture
def frames():
    torch.manual_seed(1)
    return torch.rand(2, 4, 3, 16, 16)


def test_shapes_and_masks(frames):
    out = make()(frames)
    assert out.slots.shape == (2, 4, 3, 8)
    assert out.objects.shape == (2, 4, 3, 3, 16, 16)
    assert out.masks.shape == (2, 4, 3, 1, 16, 16)
    torch.testing.assert_close(out.masks.sum(dim=2), torch.ones(2, 4, 1, 16, 16))
    torch.testing.assert_close(out.reconstruction, (out.masks * out.objects).sum(dim=2))


def test_learned_slots_start_apart_and_are_trained(frames):
    savi = make(initializer="learned")
    start = savi.initializer.slots
    assert start.shape == (3, 8)
    assert (start[0] != start[1]).all()  # alike, they would win the same positions for ever
    torch.manual_seed(5)
    first = savi.encode(frames)
    torch.manual_seed(6)  # nothing is drawn
    assert torch.equal(savi.encode(frames), first)
    assert torch.equal(savi.encode(frames, initial_slots=start.expand(2, -1, -1)), first)
    first.square().sum().backward()
    assert start.grad.abs().sum() > 0


class AddingCorrector(torch.nn.Module):
    """Adds the mean of the frame's features to the slots, once an iteration."""

    def norm_inputs(self, inputs):
        return inputs

    def forward(self, inputs, slots, num_iterations, empty):
        assert empty is None
        return slots + num_iterations * inputs.mean(dim=(1, 2))[:, None, None]


def test_a_toy_corrector_gives_a_cumulative_sum(frames):
    savi = make(num_iterations_first=3, num_iterations=2, transition=False)
    savi.encoder = torch.nn.Flatten(start_dim=2)
    savi.corrector = AddingCorrector()
    slots = savi.encode(frames, initial_slots=torch.zeros(2, 3, 8))
    per_frame = frames.mean(dim=(2, 3, 4)) * torch.tensor([3.0, 2.0, 2.0, 2.0])
    expected = per_frame.cumsum(dim=1)[:, :, None, None].expand_as(slots)
    torch.testing.assert_close(slots, expected)


def test_the_transition_stands_between_frames(frames):
    savi = make(num_iterations_first=1)
    slots = savi.encode(frames)
    onward = savi.encode(frames[:, 2:], initial_slots=savi.transition(slots[:, 1]))
    torch.testing.assert_close(onward, slots[:, 2:])


def test_a_slot_to_spare_is_empty_all_along(frames, monkeypatch):
    """From what is found when the first frame stands still; each video has its own."""
    savi = make(prune_threshold=0.1)
    torch.nn.init.normal_(savi.empty_slot)
    start = torch.randn(2, 3, 8)
    # --- the first video by hand: the others compete without it
    features = savi.corrector.norm_inputs(savi.encoder(frames[0])).unsqueeze(1)  # (T, 1, P, F)
    settled = savi.corrector(features[0], start[:1], 2)
    for _ in range(8):
        settled = savi.corrector(features[0], savi.transition(settled), 1)
    rest, empty = [0, 2], savi.empty_slot.expand(1, 1, -1)
    expected = [settled[:, rest]]
    for inputs in features[1:]:
        one, other = expected[-1].split(1, dim=1)
        moved = savi.transition(torch.cat([one, empty, other], dim=1))
        expected.append(savi.corrector(inputs, moved[:, rest], 1))

    def to_spare(first, objects, masks, threshold):
        decoded = savi.decode(settled)
        torch.testing.assert_close(objects[:1], decoded.objects)
        torch.testing.assert_close(masks[:1], decoded.masks)
        assert torch.equal(first, frames[:, 0])
        assert threshold == 0.1
        return torch.tensor([[False, True, False], [False, False, False]])

    monkeypatch.setattr("ocvp.models.savi.slots_to_spare", to_spare)
    # --- both videos
    slots = savi.encode(frames, initial_slots=start)
    torch.testing.assert_close(slots[0, :, rest], torch.cat(expected))
    assert torch.equal(slots[0, :, 1], empty[0].expand(4, -1))
    assert (slots[1] != savi.empty_slot).all()


def test_slots_are_not_pruned_where_that_is_asked_for(frames):
    savi, start = make(prune_threshold=1.0), torch.randn(2, 3, 8)
    plain = make()
    plain.load_state_dict(savi.state_dict(), strict=False)
    expected = plain.encode(frames, initial_slots=start)
    assert torch.equal(savi.encode(frames, initial_slots=start, prune=False), expected)
    assert (savi.encode(frames, initial_slots=start) == savi.empty_slot).all(dim=-1).any()


def test_videos_and_later_frames_do_not_mix(frames):
    savi, noise = make(), torch.randn(2, 3, 8)
    whole = savi.encode(frames, noise=noise)
    torch.testing.assert_close(savi.encode(frames[1:, :2], noise=noise[1:]), whole[1:, :2])


def test_noise_can_be_given(frames):
    savi, noise = make(), torch.randn(2, 3, 8)
    given = savi.encode(frames, noise=noise)
    assert torch.equal(given, savi.encode(frames, noise=noise))
    assert not torch.equal(given, savi.encode(frames))
    expected = savi.encode(frames, initial_slots=savi.initializer(noise))
    assert torch.equal(given, expected)


@pytest.mark.parametrize(("initializer", "size"), [("boxes", 4), ("centres", 2)])
def test_conditions_start_the_slots(frames, initializer, size):
    savi = make(initializer=initializer)
    coordinates = torch.rand(2, 2, size)
    slots = savi.encode(frames, **{initializer: coordinates})
    assert torch.equal(slots, savi.encode(frames, initial_slots=savi.initializer(coordinates)))
    with pytest.raises(ValueError, match=f"initializer is '{initializer}'"):
        savi.encode(frames)
    with pytest.raises(ValueError, match="1 videos and frames for 2"):
        savi.encode(frames, **{initializer: coordinates[:1]})


@pytest.mark.parametrize(
    "changes",
    [
        {"downsample_encoder": True},
        {"downsample_encoder": True, "downsampled_convolutions": 1},
        {"downsample_decoder": False, "decoder_resolution": (16, 16)},
        {"kernel_size": 3, "transition": False},
        {"initializer": "random", "decoder_channels": (4,), "decoder_resolution": (16, 16)},
        {"resolution": (16, 24), "decoder_resolution": (8, 12)},
    ],
)
def test_every_parameter_of_a_variant_learns(changes):
    savi = make(**changes)
    frames = torch.rand(2, 3, 3, *savi.resolution)
    savi_loss(savi(frames).reconstruction, frames).backward()
    without = [name for name, p in savi.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_decode_takes_any_leading_dimensions():
    savi, slots = make(), torch.randn(2, 3, 4, 5, 8)
    out = savi.decode(slots)
    assert out.reconstruction.shape == (2, 3, 4, 3, 16, 16)
    one = savi.decode(slots[1, 2, 3])
    assert one.masks.shape == (5, 1, 16, 16)
    torch.testing.assert_close(one.reconstruction, out.reconstruction[1, 2, 3])


def test_initial_weights():
    savi = make(initializer="boxes", slot_dim=64)
    state = dict(savi.named_parameters())
    recurrent = state["corrector.gru.weight_hh"]
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(64), atol=1e-5, rtol=0)
    assert all(not p.any() for name, p in state.items() if "bias" in name)
    assert state["corrector.norm_mlp.weight"].eq(1).all()
    bound = (6 / (64 + 3 * 64)) ** 0.5  # Xavier for (3 * 64, 64)
    largest = state["corrector.gru.weight_ih"].abs().max()
    assert 0.98 * bound < largest <= bound
    assert state["initializer.absent_slots"].std() > 0.1
    mean = make(slot_dim=64).initializer.mean  # Xavier for (1, 1, 64)
    assert 0.8 * (6 / 128) ** 0.5 < mean.abs().max() <= (6 / 128) ** 0.5


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_published_obj3d_size():
    savi = SAVi(
        **PUBLISHED,
        num_slots=6,
        encoder_mlp_dim=64,
        slot_mlp_dim=128,
        num_iterations_first=2,
        num_iterations=2,
        initializer="learned_random",
    )
    assert count(savi) == 899_140


def test_published_movi_a_size():
    arguments = PUBLISHED | {
        "num_slots": 11,
        "encoder_mlp_dim": 128,
        "slot_mlp_dim": 256,
        "num_iterations_first": 3,
        "num_iterations": 1,
        "initializer": "boxes",
    }
    assert count(SAVi(**arguments)) == 996_933 - 1  # the published one has a dummy parameter
    learned = SAVi(**(arguments | {"absent": "learned"}))
    assert count(learned) == 996_933 - 1 + 11 * 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_resolution": (4, 8)}, r"decoder_resolution is \(4, 8\); times 2.*\(16, 16\)"),
        ({"downsample_decoder": False}, "times 1"),
        ({"slot_dim": 10}, "slot_dim is 10; it must be a multiple of the transition's 4 heads"),
        ({"kernel_size": 4}, "kernel_size is 4; it must be odd"),
        ({"num_slots": 0}, "num_slots is 0"),
        ({"num_iterations": 0}, "num_iterations is 0"),
        ({"encoder_channels": ()}, "number of encoder_channels is 0"),
        ({"initializer": "bbox"}, "initializer is 'bbox'; it must be one of random, learned"),
        ({"box_format": "xyxy"}, "box_format is 'xyxy'; it must be one of yxyx_fraction"),
        ({"absent": "none"}, "absent is 'none'"),
        ({"prune_threshold": 0}, "prune_threshold is 0; it must be above 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_inputs_that_do_not_fit_are_refused(frames):
    savi = make()
    with pytest.raises(ValueError, match=r"frames have shape \(2, 4, 3, 16, 8\)"):
        savi.encode(frames[..., :8])
    with pytest.raises(ValueError, match=r"initial_slots have shape \(2, 4, 8\)"):
        savi.encode(frames, initial_slots=torch.zeros(2, 4, 8))
    with pytest.raises(ValueError, match=r"noise has shape \(1, 3, 8\)"):
        savi.encode(frames, noise=torch.zeros(1, 3, 8))
    with pytest.raises(ValueError, match=r"slots have shape \(2, 3, 7\)"):
        savi.decode(torch.zeros(2, 3, 7))
