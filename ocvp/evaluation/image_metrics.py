"""Scores that compare predicted frames with true ones, pixel by pixel.

H, W pixels; leading dimensions (videos, frames) are free and kept.
"""

import torch
from scipy.linalg import convolution_matrix

MAX_PSNR = 80.0
"""Cap of the PSNR in dB: identical frames would score infinity, which JSON cannot hold."""

WINDOW_SIZE = 11  # pixels
WINDOW_SIGMA = 1.5  # pixels

# Stabilisers (K1 * data range)^2 and (K2 * data range)^2 for frames in [0, 1].
_C1 = 0.01**2
_C2 = 0.03**2


@torch.no_grad()
def psnr(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of each frame; average over frames afterwards.

    The logarithm is taken per frame, before any mean: the PSNR of a mean squared error over
    several frames is another, lower number.

    Args:
        prediction: Predicted frames, shape (..., 3, H, W), in [0, 1].
        target: True frames, the same shape and range.

    Returns:
        PSNR in dB, shape (...), float64, at most `MAX_PSNR` (mean squared errors below 1e-8,
        identical frames included); NaN for a frame that holds a NaN.

    Raises:
        ValueError: If the shapes differ, are not (..., 3, H, W), or a value is outside [0, 1].
    """
    prediction, target = _checked(prediction, target)
    squared_error = (prediction - target).square().mean(dim=(-3, -2, -1))  # (...)
    return (-10.0 * torch.log10(squared_error)).clamp(max=MAX_PSNR)


@torch.no_grad()
def ssim(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Structural similarity of each frame (Wang et al., 2004), mean over colour channels.

    Gaussian window of 11 pixels with sigma 1.5, population covariance, windows that lie wholly
    inside the frame: the same as scikit-image's `structural_similarity` with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1`.

    Args:
        prediction: Predicted frames, shape (..., 3, H, W), in [0, 1], H and W at least 11.
        target: True frames, the same shape and range.

    Returns:
        SSIM, shape (...), float64, in [-1, 1]; NaN for a frame that holds a NaN.

    Raises:
        ValueError: If the shapes differ, are not (..., 3, H, W), the frame is smaller than the
            window, or a value is outside [0, 1].
    """
    prediction, target = _checked(prediction, target)
    height, width = prediction.shape[-2:]
    if min(height, width) < WINDOW_SIZE:
        raise ValueError(
            f"SSIM needs frames of at least {WINDOW_SIZE}x{WINDOW_SIZE} pixels, "
            f"got {height}x{width}"
        )
    rows = _window_matrix(height).to(prediction)  # (H - 10, H)
    columns = _window_matrix(width).to(prediction).T  # (W, W - 10)

    def local_mean(image: torch.Tensor) -> torch.Tensor:
        return rows @ image @ columns  # (..., 3, H - 10, W - 10)

    mean_p, mean_t = local_mean(prediction), local_mean(target)
    variance_p = local_mean(prediction.square()) - mean_p.square()
    variance_t = local_mean(target.square()) - mean_t.square()
    covariance = local_mean(prediction * target) - mean_p * mean_t
    # each of shape (..., 3, H - 10, W - 10)
    luminance = (2 * mean_p * mean_t + _C1) / (mean_p.square() + mean_t.square() + _C1)
    structure = (2 * covariance + _C2) / (variance_p + variance_t + _C2)
    return (luminance * structure).mean(dim=(-3, -2, -1))  # (...)


IMAGE_METRICS = {"psnr": (psnr, 1), "ssim": (ssim, WINDOW_SIZE)}
"""Metric to its function and the smallest side of a frame that it takes, in pixels."""


def _window_matrix(size: int) -> torch.Tensor:
    """Return the banded matrix (size - 10, size) that applies the Gaussian window to a vector.

    The window is separable, and two small matrix products are several times faster on a CPU
    than a convolution in float64.
    """
    offsets = torch.arange(WINDOW_SIZE, dtype=torch.float64) - WINDOW_SIZE // 2  # (11,)
    window = torch.exp(-0.5 * (offsets / WINDOW_SIGMA).square())
    window /= window.sum()
    return torch.from_numpy(convolution_matrix(window.numpy(), size, mode="valid"))


def _checked(prediction: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both as float64 after checking shapes and ranges.

    In float32 the variances of SSIM, differences of nearly equal numbers, are wrong by up to
    1e-4 of the result where the frame is flat.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction has shape {tuple(prediction.shape)}, target {tuple(target.shape)}; "
            "they must be the same"
        )
    if prediction.ndim < 3 or prediction.shape[-3] != 3:
        raise ValueError(f"frames must have shape (..., 3, H, W), got {tuple(prediction.shape)}")
    for name, frames in (("prediction", prediction), ("target", target)):
        if frames.numel() == 0:  # it has no extremes
            continue
        low, high = (float(bound) for bound in frames.aminmax())
        if low < 0 or high > 1:  # NaN passes, and gives NaN
            raise ValueError(
                f"{name} has values in [{low:g}, {high:g}], allowed is [0, 1]; clamp it first"
            )
    return _double(prediction), _double(target)


def _double(frames: torch.Tensor) -> torch.Tensor:
    # Apple's GPUs have no float64.
    return (frames.cpu() if frames.device.type == "mps" else frames).double()
