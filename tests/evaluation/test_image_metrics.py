"""Known PSNR and SSIM values, and scikit-image as the reference."""

import json

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ocvp.evaluation.image_metrics import MAX_PSNR, psnr, ssim


def pictures(seed, *shape):
    """Smooth gradients with noise and a flat patch, the hardest content for SSIM in float32."""
    rng = np.random.default_rng(seed)
    height, width = shape[-2:]
    ramp = np.linspace(0.1, 0.8, height)[:, None] + np.linspace(0, 0.1, width)
    images = np.clip(ramp + 0.1 * rng.standard_normal(shape), 0, 1)
    images[..., : height // 2, : width // 2] = 0.5
    return torch.from_numpy(images)


def test_psnr_of_a_constant_error():
    target = torch.full((2, 5, 3, 8, 8), 0.5)
    assert torch.allclose(psnr(target + 0.1, target), torch.full((2, 5), 20.0).double(), atol=1e-4)


def test_psnr_is_taken_per_frame():
    target = torch.zeros(2, 3, 4, 4)
    prediction = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), 1.0)])
    assert torch.allclose(psnr(prediction, target), torch.tensor([20.0, 0.0]).double(), atol=1e-5)


def test_identical_frames_reach_the_cap_and_stay_valid_json():
    frames = pictures(0, 2, 3, 8, 8)
    scores = psnr(frames, frames)
    assert scores.tolist() == [MAX_PSNR, MAX_PSNR] == [80.0, 80.0]
    json.dumps(scores.tolist(), allow_nan=False)


@pytest.mark.parametrize("shape", [(3, 11, 11), (4, 3, 32, 32), (2, 3, 3, 24, 40)])
def test_both_agree_with_scikit_image(shape):
    prediction, target = pictures(1, *shape).float(), pictures(2, *shape).float()
    scores = psnr(prediction, target), ssim(prediction, target)
    assert scores[0].shape == scores[1].shape == shape[:-3]
    for index in np.ndindex(shape[:-3]):
        pair = [images[index].double().numpy() for images in (target, prediction)]
        assert scores[0][index] == pytest.approx(peak_signal_noise_ratio(*pair, data_range=1))
        reference = structural_similarity(
            *pair,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
        )
        assert float(scores[1][index]) == pytest.approx(reference, abs=1e-9)


def test_ssim_of_identical_and_of_inverted_frames():
    frames = pictures(3, 2, 3, 16, 16)
    assert torch.allclose(ssim(frames, frames), torch.ones(2).double())
    checker = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * torch.ones(3, 1, 1)
    # Equal means, opposite patterns.
    assert float(ssim(checker, 1 - checker)) < -0.9


def test_scores_do_not_depend_on_the_batch():
    prediction, target = pictures(4, 6, 3, 16, 16), pictures(5, 6, 3, 16, 16)
    for metric in (psnr, ssim):
        one_by_one = torch.stack([metric(p, t) for p, t in zip(prediction, target, strict=True)])
        assert torch.allclose(metric(prediction, target), one_by_one, atol=1e-12)


def test_a_diverged_prediction_spoils_its_own_frame_only():
    target = pictures(6, 2, 3, 16, 16)
    prediction = target.clone()
    prediction[0, 0, 0, 0] = torch.nan
    for metric in (psnr, ssim):
        assert torch.isnan(metric(prediction, target)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (torch.zeros(2, 3, 16, 16), torch.zeros(3, 16, 16), "the same"),
        (torch.zeros(16, 16, 3), torch.zeros(16, 16, 3), r"\(\.\.\., 3, H, W\)"),
        (torch.full((3, 16, 16), 1.5), torch.zeros(3, 16, 16), r"prediction .* \[1\.5, 1\.5\]"),
        (torch.zeros(3, 16, 16), torch.full((3, 16, 16), -0.5), r"target .* allowed is \[0, 1\]"),
    ],
)
def test_wrong_input_is_refused(prediction, target, message):
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match=message):
            metric(prediction, target)


def test_ssim_refuses_frames_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 10x32"):
        ssim(torch.zeros(3, 10, 32), torch.zeros(3, 10, 32))
