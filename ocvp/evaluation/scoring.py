"""Scores of decoded frames and masks against the truth, collected over batches of videos.

B videos of a batch, V videos, T frames, N slots, K objects, H W pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ocvp.evaluation import perceptual
from ocvp.evaluation.image_metrics import IMAGE_METRICS
from ocvp.evaluation.segmentation_metrics import LABEL_METRICS, labels_from_masks, mean_of_defined
from ocvp.models.savi import SaviOutput

NO_MASKS = "the videos have no masks"
NO_CONTACTS = "the videos have no object_contacts"
UNDEFINED = "no frame in which it is defined (no such object is there)"

Scores = dict[str, np.ndarray]
"""Metric to its values: (B, T), or (B,) for those of a whole clip; NaN where undefined."""


class FrameScorer:
    """Computes the pixel metrics that this machine has the weights for.

    Args:
        resolution: Height and width of the frames.
        device: Where LPIPS computes.
    """

    def __init__(self, resolution: tuple[int, int], device: torch.device):
        self.reasons: dict[str, str] = {}
        """Why a metric cannot be computed, by metric."""
        self._metrics: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
        for name, (metric, side) in IMAGE_METRICS.items():
            if min(resolution) >= side:
                self._metrics[name] = metric
            else:
                self.reasons[name] = _too_small(name.upper(), side, resolution)
        for network in get_args(perceptual.Network):
            name, side = f"lpips_{network}", perceptual.MIN_SIDE[network]
            if perceptual.unavailable_reason(network):
                self.reasons[name] = perceptual.MISSING
            elif min(resolution) < side:
                self.reasons[name] = _too_small(f"LPIPS ({network})", side, resolution)
            else:
                self._metrics[name] = perceptual.Lpips(network, device)

    def score(self, frames: Tensor, truth: Tensor) -> Scores:
        """Compare frames (B, T, 3, H, W) with true ones, both in [0, 1] after clamping."""
        frames = frames.clamp(0, 1)
        scores = {name: metric(frames, truth) for name, metric in self._metrics.items()}  # (B, T)
        return {name: value.cpu().numpy().astype(np.float64) for name, value in scores.items()}


def _too_small(metric: str, side: int, resolution: tuple[int, int]) -> str:
    return f"{metric} needs frames of {side} pixels, these have {resolution}"


def score_labels(true_labels: np.ndarray, labels: np.ndarray) -> Scores:
    """Compare segmentations (B, T, H, W) with true ones; videos without any object are left out."""
    scores = {name: metric(true_labels, labels) for name, metric in LABEL_METRICS.items()}
    for values in scores.values():
        values[without_objects(true_labels)] = np.nan
    return scores


def without_objects(true_labels: np.ndarray) -> np.ndarray:
    """Say which videos (B, T, H, W) show no object in any frame, (B,)."""
    return true_labels.max(axis=(1, 2, 3), initial=0) == 0


def score_output(
    output: SaviOutput, truth: Tensor, scorer: FrameScorer, true_labels: np.ndarray | None
) -> Scores:
    """Compare what slots decode to with the truth.

    Args:
        output: Decoded slots (B, T, N, D).
        truth: True frames, (B, T, 3, H, W) in [0, 1].
        scorer: For the pixel metrics.
        true_labels: True masks, (B, T, H, W), or None where there are none.
    """
    scores = scorer.score(output.reconstruction, truth)
    if true_labels is not None:
        scores |= score_labels(true_labels, labels_from_masks(masks_of(output)))
    return scores


def masks_of(output: SaviOutput) -> np.ndarray:
    """Return the soft masks of decoded slots, (B, T, N, H, W)."""
    return output.masks.squeeze(-3).cpu().numpy()


def concatenate(batches: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
    """Join the scores of batches, by what is scored, into (V, T) and (V,)."""
    return {model: join([batch[model] for batch in batches]) for model in batches[0]}


def join(parts: Sequence[Scores]) -> Scores:
    """Join the scores of one thing."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def mean(values: np.ndarray) -> float | None:
    """Return the mean over what is defined; None where nothing is."""
    return None if np.isnan(values).all() else float(np.nanmean(values))


def per_frame(values: np.ndarray) -> list[float | None] | None:
    """Return the mean over videos for each frame; None for a metric of a whole clip."""
    if values.ndim == 1:
        return None
    return [mean(column) for column in values.T]  # from (V, T)


def per_video(values: np.ndarray) -> np.ndarray:
    """Return the mean over frames for each video, (V,), NaN where nothing is defined."""
    return values if values.ndim == 1 else mean_of_defined(values)


def plain(values: np.ndarray) -> list[float | None]:
    """Return a vector as JSON takes it: null where it is NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


def report(metric: str, scores: Scores, reasons: Mapping[str, str]) -> dict[str, Any]:
    """Return the mean and what it is over, per_frame, and where there is no value the reason."""
    if metric not in scores:
        return {"mean": None, "per_frame": None, "reason": reasons.get(metric, NO_MASKS)}
    values = scores[metric]
    value = mean(values)
    return {
        "mean": value,
        "mean_over": "videos" if values.ndim == 1 else "frames",
        "num_videos": int((~np.isnan(per_video(values))).sum()),  # that have some value
        "per_frame": per_frame(values),
        **({"reason": UNDEFINED} if value is None else {}),
    }
