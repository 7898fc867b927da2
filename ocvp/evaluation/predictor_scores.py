"""Scores of a slot predictor under one protocol, beside two copies of the last context frame.

`copy_last_frame` repeats the true last context frame; `copy_last_slots` repeats SAVi's slots of it;
`ceiling` decodes SAVi's own slots of the true future.

B videos of a batch, V videos, T frames, N slots, D slot_dim, H W pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ocvp.batches.windows import Window, WindowReader, check_finite, first_windows, to_model
from ocvp.config.tree import Protocol, Runtime
from ocvp.data.videos import VideoFile
from ocvp.evaluation.bootstrap import paired_bootstrap
from ocvp.evaluation.metrics import BASELINES, METRICS
from ocvp.evaluation.scoring import (
    NO_MASKS,
    FrameScorer,
    Scores,
    concatenate,
    per_video,
    plain,
    report,
    score_output,
)
from ocvp.evaluation.tracking_metrics import assign_slots, object_motion
from ocvp.models.rollout import rollout
from ocvp.models.savi import SAVi
from ocvp.runtime.progress import progress

COMPARED = ("centre_error", "slot_mse", "miou")
"""Metrics by which the prediction is compared with copy_last_slots."""
VARIANTS = ("prediction", "copy_last_slots", "ceiling")
"""What is decoded."""


@torch.no_grad()
def score_predictor(
    savi: SAVi,
    predictor: nn.Module,
    videos: Path,
    slots: Path,
    protocol: Protocol,
    runtime: Runtime,
    seed: int,
) -> dict[str, Any]:
    """Score a predictor on the first window of all videos of a file.

    Args:
        savi: The SAVi that made the slots.
        predictor: The predictor, in evaluation mode.
        videos: The file; without masks only metrics of frames and slots have values.
        slots: The slots of its frames.
        protocol: Lengths of context and prediction, and which videos count as moving.
        runtime: How many videos at once, and how they are read.
        seed: Seed of the bootstrap.

    Returns:
        `metrics`, `comparisons` and `per_video` of a file of scores (docs/metrics.md).

    Raises:
        ValueError: If a prediction is not finite.
    """
    sources = {"frames": (videos, "frames"), "slots": (slots, "slots")}
    with VideoFile(videos) as file:
        num_videos, has_masks = file.num_videos, file.has("masks")
    if has_masks:
        sources["masks"] = (videos, "masks")
    reader = WindowReader(sources, protocol.num_context + protocol.num_preds, residency="disk")
    scorer = FrameScorer(savi.resolution, next(savi.parameters()).device)
    # --- roll out and score, batch by batch
    parts = []
    plan = first_windows(num_videos, runtime.batch_videos)
    with progress(description="scoring predictor", total=num_videos) as bar:
        for windows, batch in reader.batches(plan, runtime.num_workers or 0):
            parts.append(score_batch(savi, predictor, windows, batch, protocol.num_context, scorer))
            bar.update(len(windows))
    # --- put together over all videos
    batches, motions = zip(*parts, strict=True)
    scores = concatenate(batches)
    moving = np.concatenate(motions) >= protocol.moving_pixels  # (V,)
    return {
        "metrics": summarize_scores(scores, scorer.reasons),
        "comparisons": compare(scores, moving, seed) if has_masks else {"reason": NO_MASKS},
        "per_video": {
            name: plain(per_video(values)) for name, values in scores["prediction"].items()
        },
    }


def score_batch(
    savi: SAVi,
    predictor: nn.Module,
    windows: Sequence[Window],
    batch: Mapping[str, Tensor],
    num_context: int,
    scorer: FrameScorer,
) -> tuple[dict[str, Scores], np.ndarray]:
    """Roll out one batch of windows, decode, and score every variant.

    Args:
        savi: The SAVi that made the slots.
        predictor: The predictor, in evaluation mode.
        windows: The windows, for messages.
        batch: `frames` uint8 (B, T, H, W, 3), `slots` (B, T, N, D), and `masks` uint8
            (B, T, H, W) where there are any.
        num_context: Frames that are given; the others are predicted.
        scorer: For the pixel metrics.

    Returns:
        The scores of each variant, and the farthest that an object's centre gets, in pixels, (B,);
        NaN where there are no masks.

    Raises:
        ValueError: If a prediction is not finite.
    """
    device = next(savi.parameters()).device
    slots = batch["slots"].to(device)  # (B, T, N, D)
    frames = to_model(batch["frames"], device)  # (B, T, 3, H, W)
    context, future = slots[:, :num_context], slots[:, num_context:]
    truth = frames[:, num_context:]  # (B, num_preds, 3, H, W)
    # Objects get their slots in the last context frame, and keep them over the prediction.
    labels, assignment = None, None
    motion = np.full(len(slots), np.nan)  # (B,)
    if "masks" in batch:
        labels = batch["masks"].numpy()  # (B, T, H, W)
        num_objects = int(labels.max(initial=0))
        last_masks = savi.decode(context[:, -1]).masks.squeeze(-3).cpu().numpy()  # (B, N, H, W)
        assignment = assign_slots(labels[:, num_context - 1], last_masks, num_objects)  # (B, K)
        motion = object_motion(labels[:, num_context - 1 :], num_objects)  # (B,)
        labels = labels[:, num_context:]  # (B, num_preds, H, W)

    prediction = rollout(predictor, context, future.shape[1])  # (B, num_preds, N, D)
    check_finite(prediction, windows, "the predicted slots")
    variants = {
        "prediction": prediction,
        "copy_last_slots": context[:, -1:].expand_as(future),
        "ceiling": future,
    }
    scores = {}
    for name, variant in variants.items():
        scores[name] = score_output(savi.decode(variant), truth, scorer, labels, assignment)
        squared = (variant - future).square().mean(dim=(-2, -1))  # (B, num_preds)
        scores[name]["slot_mse"] = squared.cpu().numpy().astype(np.float64)
    held = frames[:, num_context - 1 : num_context].expand_as(truth)
    scores["copy_last_frame"] = scorer.score(held, truth)
    return scores, motion


def summarize_scores(scores: Mapping[str, Scores], reasons: Mapping[str, str]) -> dict[str, Any]:
    """Return, for each metric, the prediction's mean and curve with those of the baselines."""
    metrics = {}
    for name in METRICS:
        metrics[name] = report(name, scores["prediction"], reasons)
        for baseline in BASELINES:
            entry = report(name, scores[baseline], reasons)
            metrics[name][baseline] = entry["mean"]
            metrics[name][f"{baseline}_per_frame"] = entry["per_frame"]
    return metrics


def compare(scores: Mapping[str, Scores], moving: np.ndarray, seed: int) -> dict[str, Any]:
    """Compare the prediction with copy_last_slots on the videos in which objects move.

    Args:
        scores: Scores by variant.
        moving: Which videos count, (V,).
        seed: Seed of the bootstrap.

    Returns:
        For each compared metric: the means of all three variants; `gap_closed`, the share of the
        way from copy_last_slots to the ceiling; and paired bootstrap intervals over videos of
        `gain` (better than copy_last_slots by) and `beyond_half_gap` (gain minus half the gap).
    """
    result: dict[str, Any] = {"subset": "moving", "num_videos": int(moving.sum())}
    for name in COMPARED:
        values = {variant: per_video(scores[variant][name])[moving] for variant in VARIANTS}
        defined = ~np.isnan(sum(values.values()))  # for all three variants
        if not defined.any():
            result[name] = {"reason": "no video in which objects move"}
            continue
        values = {variant: own[defined] for variant, own in values.items()}
        sign = -1.0 if METRICS[name].lower_is_better else 1.0
        # with this sign higher is better, whatever the metric
        prediction, copy, ceiling = (sign * own for own in values.values())
        gain, gap = prediction - copy, ceiling - copy  # for each video
        result[name] = {
            **{variant: float(own.mean()) for variant, own in values.items()},
            "gap_closed": float(gain.mean() / gap.mean()) if gap.mean() else None,
            "gain": paired_bootstrap(gain, seed=seed),
            "beyond_half_gap": paired_bootstrap(gain - gap / 2, seed=seed),
        }
    return result
