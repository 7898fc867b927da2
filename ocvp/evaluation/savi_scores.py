"""Scores of a SAVi's decomposition, beside two segmenters that know nothing of objects.

B videos of a batch, V videos, T frames, N slots, K objects, H W pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.savi_inputs import savi_inputs, video_sources
from ocvp.batches.windows import Window, WindowReader, check_finite, first_windows
from ocvp.compute.randomness import derived_seed
from ocvp.config.tree import Runtime
from ocvp.data.videos import VideoFile
from ocvp.evaluation.metrics import MASK_METRICS, PIXEL_METRICS
from ocvp.evaluation.naive_segmenters import held_boxes, kmeans_colour
from ocvp.evaluation.scoring import (
    FrameScorer,
    Scores,
    concatenate,
    per_video,
    plain,
    report,
    score_labels,
    score_output,
)
from ocvp.models.savi import SAVi
from ocvp.runtime.progress import progress


@torch.no_grad()
def score_savi(
    savi: SAVi, videos: Path, num_frames: int, runtime: Runtime, seed: int, *, name: str
) -> dict[str, Any]:
    """Score a SAVi on the first frames of all videos of a file.

    Args:
        savi: The model, in evaluation mode.
        videos: The file; without masks only the pixel metrics have values.
        num_frames: Frames of each video.
        runtime: How many videos at once, and how they are read.
        seed: Seed of noise and k-means.
        name: What the messages call the model.

    Returns:
        `num_without_objects`, `metrics` and `per_video` of a file of scores (docs/metrics.md).

    Raises:
        ValueError: If the videos do not fit the model, or slots are not finite.
    """
    sources = video_sources(savi, videos)
    with VideoFile(videos) as file:
        num_videos = file.num_videos
        sources |= {field: (videos, field) for field in ("masks", "boxes") if file.has(field)}
    # --- encode, decode and score, batch by batch
    reader = WindowReader(sources, num_frames, residency="disk")
    scorer = FrameScorer(savi.resolution, next(savi.parameters()).device)
    parts = []
    plan = first_windows(num_videos, runtime.batch_videos)
    with progress(description="scoring SAVi", total=num_videos) as bar:
        for windows, batch in reader.batches(plan, runtime.num_workers or 0):
            inputs = savi_inputs(savi, windows, batch, seed=seed, purpose="score")
            output = savi(**inputs)  # slots (B, T, N, D), masks (B, T, N, 1, H, W)
            check_finite(output.slots, windows, f"the slots of {name}")
            labels = batch["masks"].numpy() if "masks" in batch else None  # (B, T, H, W)
            scores = score_output(output, inputs["frames"], scorer, labels)
            parts.append({"savi": scores, **score_naive(windows, batch, savi.num_slots, seed)})
            bar.update(len(windows))
    # --- put together over all videos
    naive = concatenate(parts)
    scores = naive.pop("savi")
    metrics = {
        name: report(name, scores, scorer.reasons) for name in (*PIXEL_METRICS, *MASK_METRICS)
    }
    for name in MASK_METRICS:
        for baseline, values in naive.items():
            metrics[name][baseline] = report(name, values, {})["mean"]
    num_without_objects = None
    if "ari" in scores:  # which is defined in every frame of a video that shows objects
        num_without_objects = int(np.isnan(per_video(scores["ari"])).sum())
    return {
        "num_without_objects": num_without_objects,
        "metrics": metrics,
        "per_video": {name: plain(per_video(values)) for name, values in scores.items()},
    }


def score_naive(
    windows: Sequence[Window], batch: Mapping[str, Tensor], num_segments: int, seed: int
) -> dict[str, Scores]:
    """Score the naive segmenters on one batch: those that it has the fields for.

    Args:
        windows: The windows of the batch.
        batch: `frames` uint8 (B, T, H, W, 3), and where there are any `masks` (B, T, H, W) and
            `boxes` (B, T, K, 4).
        num_segments: Segments of k-means: as many as the SAVi has slots.
        seed: Seed of k-means.
    """
    if "masks" not in batch:
        return {}
    labels = batch["masks"].numpy()  # (B, T, H, W)
    # Seeds in NumPy's range.
    seeds = [derived_seed(seed, "k-means", window.video) % 2**32 for window in windows]
    clips = zip(batch["frames"].numpy(), seeds, strict=True)
    colours = np.stack([kmeans_colour(clip, num_segments, own) for clip, own in clips])
    scores = {"kmeans_colour": score_labels(labels, colours)}
    if "boxes" in batch:
        first = batch["boxes"].numpy()[:, 0]  # (B, K, 4)
        held = np.stack([held_boxes(boxes, *labels.shape[1:]) for boxes in first])  # (B, T, H, W)
        scores["held_boxes"] = score_labels(labels, held)
    return scores
