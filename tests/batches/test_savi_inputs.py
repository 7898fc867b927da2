"""What a SAVi is given: boxes and centres as in the file, or noise that can be drawn again."""

import numpy as np
import pytest
import torch
from tiny import NUM_SLOTS, SLOT_DIM, make_savi, squares, write_videos

from ocvp.batches.savi_inputs import (
    encode_from_start,
    model_boxes,
    model_centres,
    savi_inputs,
    slot_noise,
    video_sources,
)
from ocvp.batches.windows import Window, WindowReader

WINDOWS = [Window(1, 2), Window(0, 0)]


def test_noise_belongs_to_the_window_not_to_its_batch():
    windows = [Window(5, 1), Window(2, 0), Window(7, 3)]
    noise = slot_noise(1, "train", 4, windows, 3, 8)
    assert noise.shape == (3, 3, 8)
    assert noise.dtype == torch.float32
    torch.testing.assert_close(slot_noise(1, "train", 4, windows[1:2], 3, 8)[0], noise[1])
    others = [
        slot_noise(2, "train", 4, windows, 3, 8),
        slot_noise(1, "validation", 4, windows, 3, 8),
        slot_noise(1, "train", 5, windows, 3, 8),
        slot_noise(1, "train", 4, [Window(5, 2), Window(3, 0), Window(6, 3)], 3, 8),
    ]
    for other in others:
        assert not torch.isclose(other, noise).any()
    many = slot_noise(1, "train", 0, [Window(v, 0) for v in range(200)], 3, 8)
    assert abs(float(many.mean())) < 0.05
    assert abs(float(many.std()) - 1) < 0.05


@pytest.fixture
def videos(tmp_path):
    return write_videos(tmp_path / "train.h5", num_videos=3)


def inputs_of(savi, videos, windows=WINDOWS, **changes):
    reader = WindowReader(video_sources(savi, videos), 3)
    settings = {"seed": 5, "purpose": "train", "epoch": 2} | changes
    return savi_inputs(savi, *reader[windows], **settings)


def test_boxes_are_those_of_the_first_frame_of_each_window(videos):
    savi, _ = make_savi()
    inputs = inputs_of(savi, videos)
    assert set(inputs) == {"frames", "boxes"}
    expected = np.stack([squares(1)["boxes"][2], squares(0)["boxes"][0]])
    np.testing.assert_array_equal(inputs["boxes"].numpy(), expected)
    frames = np.stack([squares(1)["frames"][2:5], squares(0)["frames"][:3]]) / 255
    np.testing.assert_allclose(inputs["frames"].movedim(2, -1).numpy(), frames, atol=1e-6)


def test_centres_are_the_middle_of_the_boxes(videos):
    savi, _ = make_savi(initializer="centres")
    inputs = inputs_of(savi, videos)
    assert set(inputs) == {"frames", "centres"}
    box = squares(1)["boxes"][2]
    np.testing.assert_allclose(inputs["centres"][0].numpy(), (box[:, :2] + box[:, 2:]) / 2)


def test_published_models_get_their_own_convention(videos):
    savi, _ = make_savi(box_format="published_pixels", absent="published")
    y_min, x_min, y_max, x_max = squares(1)["boxes"][2, 1] * 64
    found = inputs_of(savi, videos)["boxes"][0, 1].tolist()
    assert found == [x_min, y_min, x_max, y_max]


@pytest.mark.parametrize("initializer", ["random", "learned_random"])
def test_noise_is_a_function_of_seed_purpose_epoch_and_window(videos, initializer):
    savi, _ = make_savi(initializer=initializer)
    inputs = inputs_of(savi, videos)
    assert set(inputs) == {"frames", "noise"}
    expected = slot_noise(5, "train", 2, WINDOWS, NUM_SLOTS, SLOT_DIM)
    assert torch.equal(inputs["noise"], expected)
    torch.manual_seed(99)  # the global generator has no part in it
    assert torch.equal(inputs_of(savi, videos)["noise"], expected)
    assert not torch.equal(inputs_of(savi, videos, epoch=3)["noise"], expected)


def test_learned_slots_need_no_noise(videos):
    savi, _ = make_savi(initializer="learned")
    assert set(inputs_of(savi, videos)) == {"frames"}


def test_slots_of_a_video_do_not_depend_on_the_batch_it_is_in(videos):
    savi, _ = make_savi(initializer="learned_random")
    reader = WindowReader(video_sources(savi, videos), 8)
    together = encode_from_start(
        savi, *reader[[Window(0, 0), Window(2, 0)]], seed=1, purpose="slots train"
    )
    alone = encode_from_start(savi, *reader[[Window(2, 0)]], seed=1, purpose="slots train")
    assert together.shape == (2, 8, NUM_SLOTS, SLOT_DIM)
    assert not together.requires_grad
    torch.testing.assert_close(together[1], alone[0], rtol=1e-5, atol=1e-6)
    other = encode_from_start(savi, *reader[[Window(2, 0)]], seed=2, purpose="slots train")
    assert not torch.allclose(other, alone)


def test_videos_that_do_not_fit_are_refused(tmp_path, videos):
    savi, _ = make_savi(resolution=(32, 32), decoder_resolution=(16, 16))
    with pytest.raises(ValueError, match=r"frames are \(16, 16\), this SAVi takes \(32, 32\)"):
        video_sources(savi, videos)
    savi, _ = make_savi(num_slots=1)
    with pytest.raises(ValueError, match="2 objects, but this SAVi has 1 slots"):
        video_sources(savi, videos)
    bare = write_videos(tmp_path / "test.h5", fields=("frames", "masks"))
    savi, _ = make_savi()
    with pytest.raises(ValueError, match=r"test.h5 has no boxes, .* use initializer"):
        video_sources(savi, bare)
    savi, _ = make_savi(initializer="random")
    assert set(video_sources(savi, bare)) == {"frames"}


# --- boxes in both conventions, with the pixel values that the published conversion gives ---------

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
