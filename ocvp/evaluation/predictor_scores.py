"""Scores of a slot predictor under one protocol, beside baselines that know no dynamics.

`copy_last_frame` repeats the true last context frame, `copy_last_slots` SAVi's slots of it;
`constant_velocity` lets these slots go on by what they changed between the last two context frames,
`object_constant_velocity` the objects' true centres by what they moved; `ceiling` decodes SAVi's
own slots of the true future.

B videos of a batch, V videos, T frames, N slots, D slot_dim, K objects, H W pixels.
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
from ocvp.evaluation.baselines import extrapolate
from ocvp.evaluation.comparisons import compare
from ocvp.evaluation.metrics import BASELINES, METRICS
from ocvp.evaluation.scoring import (
    NO_CONTACTS,
    NO_MASKS,
    FrameScorer,
    Scores,
    concatenate,
    join,
    masks_of,
    per_video,
    plain,
    report,
    score_output,
)
from ocvp.evaluation.tracked_objects import tracked_objects
from ocvp.evaluation.tracking_metrics import (
    CONTACT_METRICS,
    TRACKING_METRICS,
    centre_distances,
    centre_errors,
    count_objects,
)
from ocvp.models.rollout import rollout
from ocvp.models.savi import SAVi, SaviOutput
from ocvp.runtime.progress import progress


@torch.no_grad()
def score_predictor(
    savi: SAVi,
    predictor: nn.Module,
    videos: Path,
    slots: Path,
    protocol: Protocol,
    runtime: Runtime,
) -> dict[str, Any]:
    """Score a predictor on the first window of all videos of a file.

    Args:
        savi: The SAVi that made the slots.
        predictor: The predictor, in evaluation mode.
        videos: The file; without masks only metrics of frames and slots have values.
        slots: The slots of its frames.
        protocol: Lengths of context and prediction, and which videos count as moving.
        runtime: How many videos at once, and how they are read.

    Returns:
        `num_without_objects`, `metrics`, `comparisons` and `per_video` of a file of scores
        (docs/metrics.md).

    Raises:
        ValueError: If a prediction is not finite.
    """
    sources = {"frames": (videos, "frames"), "slots": (slots, "slots")}
    with VideoFile(videos) as file:
        num_videos = file.num_videos
        known = [field for field in ("masks", "object_contacts") if file.has(field)]
    sources |= {field: (videos, field) for field in known}
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
    batches, facts = zip(*parts, strict=True)
    scores, of_videos = concatenate(batches), join(facts)
    result: dict[str, Any] = {"num_without_objects": None, "comparisons": {"reason": NO_MASKS}}
    reasons = scorer.reasons
    if of_videos:
        reasons = reasons | dict.fromkeys(CONTACT_METRICS, NO_CONTACTS)
        result["num_without_objects"] = int(of_videos["without_objects"].sum())
        result["comparisons"] = compare(scores, of_videos["motion"] >= protocol.moving_pixels)
    videos_of = {name: plain(per_video(values)) for name, values in scores["prediction"].items()}
    metrics = summarize_scores(scores, of_videos, reasons)
    return {**result, "metrics": metrics, "per_video": videos_of}


def score_batch(
    savi: SAVi,
    predictor: nn.Module,
    windows: Sequence[Window],
    batch: Mapping[str, Tensor],
    num_context: int,
    scorer: FrameScorer,
) -> tuple[dict[str, Scores], Scores]:
    """Roll out one batch of windows, decode, and score every variant.

    Args:
        savi: The SAVi that made the slots.
        predictor: The predictor, in evaluation mode.
        windows: The windows, for messages.
        batch: `frames` uint8 (B, T, H, W, 3), `slots` (B, T, N, D), and where there are any `masks`
            uint8 (B, T, H, W) and `object_contacts` uint8 (B, T, K).
        num_context: Frames that are given; the others are predicted.
        scorer: For the pixel metrics.

    Returns:
        The scores of each variant; and of each video, (B,), `TrackedObjects.of_videos` and how many
        objects each of `TRACKING_METRICS` counts, nothing where there are no masks.

    Raises:
        ValueError: If a prediction is not finite.
    """
    device = next(savi.parameters()).device
    slots = batch["slots"].to(device)  # (B, T, N, D)
    frames = to_model(batch["frames"], device)  # (B, T, 3, H, W)
    context, future = slots[:, :num_context], slots[:, num_context:]
    truth = frames[:, num_context:]  # (B, num_preds, 3, H, W)
    num_preds = future.shape[1]
    # Objects get their slots in the last context frame, and keep them over the prediction.
    objects, labels = None, None
    if "masks" in batch:
        last_masks = masks_of(savi.decode(context[:, -1:]))[:, 0]  # (B, N, H, W)
        objects = tracked_objects(batch, last_masks, num_context)
        labels = objects.labels

    prediction = rollout(predictor, context, num_preds)  # (B, num_preds, N, D)
    check_finite(prediction, windows, "the predicted slots")
    variants = {"prediction": prediction, "copy_last_slots": context[:, -1:], "ceiling": future}
    if num_context > 1:
        variants["constant_velocity"] = extrapolate(context, num_preds)
    scores: dict[str, Scores] = {baseline: {} for baseline in BASELINES}
    of_videos: Scores = {}
    for name, variant in variants.items():
        output = held(savi.decode(variant), num_preds)
        scores[name] = score_output(output, truth, scorer, labels)
        squared = (variant - future).square().mean(dim=(-2, -1))  # (B, num_preds)
        scores[name]["slot_mse"] = squared.cpu().numpy().astype(np.float64)
        if objects:
            distances = centre_distances(objects.labels, masks_of(output), objects.assignment)
            scores[name] |= centre_errors(distances, objects.touched)
            # of every variant the same
            of_videos = objects.of_videos | count_objects(distances, objects.touched)
    last = frames[:, num_context - 1 : num_context].expand_as(truth)
    scores["copy_last_frame"] = scorer.score(last, truth)
    if objects and objects.velocity_distances is not None:
        own = centre_errors(objects.velocity_distances, objects.touched)
        scores["object_constant_velocity"] = own
    return scores, of_videos


def held(output: SaviOutput, num_preds: int) -> SaviOutput:
    """Let one decoded frame, (B, 1, ...), stand for all, (B, num_preds, ...)."""
    return SaviOutput(*(part.expand(-1, num_preds, *part.shape[2:]) for part in output))


def summarize_scores(
    scores: Mapping[str, Scores], of_videos: Scores, reasons: Mapping[str, str]
) -> dict[str, Any]:
    """Return, for each metric, the prediction's mean and curve with those of the baselines.

    Args:
        scores: Scores by variant.
        of_videos: What `score_batch` says of each video, (V,).
        reasons: Why a metric cannot be computed.
    """
    metrics = {}
    for name in METRICS:
        metrics[name] = report(name, scores["prediction"], reasons)
        if name in TRACKING_METRICS and name in of_videos:
            metrics[name]["num_objects"] = int(of_videos[name].sum())
        for baseline in BASELINES:
            entry = report(name, scores[baseline], reasons)
            metrics[name][baseline] = entry["mean"]
            metrics[name][f"{baseline}_per_frame"] = entry["per_frame"]
    if of_videos:  # objects without a slot, or that the last context frame does not show
        left_out = int(of_videos["objects"].sum()) - metrics["centre_error"]["num_objects"]
        metrics["centre_error"]["num_objects_left_out"] = left_out
    return metrics
