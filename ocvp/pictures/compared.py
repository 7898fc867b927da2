"""Rollouts of several predictors of the same videos, with the scores of each frame.

B videos of a batch, T frames, N slots, D slot_dim, K objects, H W pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ocvp.batches.windows import Window, WindowReader, to_model
from ocvp.data.slot_files import check_slots
from ocvp.data.videos import VideoFile
from ocvp.evaluation.image_metrics import IMAGE_METRICS
from ocvp.evaluation.scoring import Scores, masks_of, score_labels
from ocvp.evaluation.segmentation_metrics import labels_from_masks
from ocvp.evaluation.tracking_metrics import assign_slots, centre_distances, centre_errors
from ocvp.models.loading import Opened, check_belongs
from ocvp.models.rollout import rollout
from ocvp.models.savi import SAVi, SaviOutput
from ocvp.pictures.decoded import Decoded, decoded
from ocvp.pictures.overlays import background_slot, slot_colours

CURVES = ("psnr", "ssim", "miou", "fg_ari_frame", "centre_error")
"""The metrics that are shown over time, where they are known."""


@dataclass(frozen=True)
class Comparison:
    """What several predictors make of one video."""

    frames: np.ndarray
    """True frames, uint8, shape (T, H, W, 3)."""
    labels: np.ndarray | None
    """True labels, 0 for the background, shape (T, H, W); None where they are not known."""
    slots_of_labels: list[int]
    """The slot of each true label in the last context frame, shape (K + 1,); -1: none."""
    colours: np.ndarray
    """Colours of the slots, uint8, shape (N, 3): those of the objects that they hold."""
    rollouts: dict[str, Decoded]
    """By predictor, what slots decode to: SAVi's in the context, then the predicted ones; of T."""
    curves: dict[str, dict[str, np.ndarray]]
    """By predictor and metric of `CURVES`, the scores of the predicted frames, (num_preds,)."""


def checked_rollouts(
    of_savi: Opened,
    of_predictors: Mapping[str, Opened],
    videos: Path,
    slots: Path,
    chosen: Sequence[int],
    *,
    protocol: Mapping[str, Any],
    device: torch.device,
) -> Iterator[Comparison]:
    """Yield the rollouts of chosen videos by models from files, if all of these belong together.

    Args:
        of_savi: The SAVi.
        of_predictors: The predictors by name, at least one.
        videos: Videos (HDF5).
        slots: Their slots (HDF5).
        chosen: Numbers of the videos, in the order to yield them.
        protocol: As files of scores hold it: `num_context`, `num_preds`.
        device: Where to compute.

    Raises:
        ValueError: If predictors or slots are of another SAVi, or slots of other videos.
    """
    for of_predictor in of_predictors.values():
        check_belongs(of_predictor, of_savi)
    with VideoFile(videos) as file:
        shape = {"num_videos": file.num_videos, "num_frames": file.num_frames}
    check_slots(slots, weights_digest=of_savi.digest, **shape)
    return compared_rollouts(
        of_savi.build(device),
        {name: of_predictor.build(device) for name, of_predictor in of_predictors.items()},
        *(videos, slots, chosen),
        num_context=protocol["num_context"],
        num_preds=protocol["num_preds"],
    )


@torch.no_grad()
def compared_rollouts(
    savi: SAVi,
    predictors: Mapping[str, nn.Module],
    videos: Path,
    slots: Path,
    chosen: Sequence[int],
    *,
    num_context: int,
    num_preds: int,
) -> Iterator[Comparison]:
    """Yield the rollouts of chosen videos, from their first frames on.

    Args:
        savi: The SAVi that the predictors were trained on.
        predictors: The predictors by name, at least one, on the same device.
        videos: Videos (HDF5).
        slots: Their slots (HDF5).
        chosen: Numbers of the videos, in the order to yield them.
        num_context: Context frames.
        num_preds: Frames to predict.
    """
    device = next(savi.parameters()).device
    sources = {"frames": (videos, "frames"), "slots": (slots, "slots")}
    with VideoFile(videos) as file:
        if file.has("masks"):
            sources["masks"] = (videos, "masks")
    reader = WindowReader(sources, num_context + num_preds, residency="disk")
    for video in chosen:
        _, batch = reader[[Window(video, 0)]]
        context = batch["slots"][:, :num_context].to(device)  # (1, num_context, N, D)
        outputs = {}
        for name, predictor in predictors.items():
            predicted = rollout(predictor, context, num_preds)  # (1, num_preds, N, D)
            outputs[name] = savi.decode(torch.cat([context, predicted], dim=1))
        yield _compare(batch, outputs, num_context)


def _compare(
    batch: Mapping[str, Tensor], outputs: Mapping[str, SaviOutput], num_context: int
) -> Comparison:
    """Put one video, a batch of 1, beside what slots decode to, by predictor."""
    frames = batch["frames"][0].numpy()
    labels = batch["masks"][0].numpy() if "masks" in batch else None
    rollouts = {
        name: decoded(SaviOutput(*(part[0] for part in output))) for name, output in outputs.items()
    }
    # The context is SAVi's, of every predictor the same.
    seen = next(iter(rollouts.values()))
    assignment, background = np.empty(0, np.int64), None
    last = num_context - 1
    if labels is not None:
        num_objects = int(labels.max(initial=0))
        assignment = assign_slots(labels[None, last], seen.masks[None, last], num_objects)[0]
        background = background_slot(labels[last], seen.labels[last])
    colours = slot_colours(seen.masks.shape[1], assignment, background)
    curves = {
        name: _curves(batch, output, assignment, num_context) for name, output in outputs.items()
    }
    # A slot that holds an object is not the background's.
    free = -1 if background is None or background in assignment else background
    return Comparison(frames, labels, [free, *assignment.tolist()], colours, rollouts, curves)


def _curves(
    batch: Mapping[str, Tensor], output: SaviOutput, assignment: np.ndarray, num_context: int
) -> dict[str, np.ndarray]:
    """Return the scores of each predicted frame by metric, (num_preds,), as in files of scores."""
    output = SaviOutput(*(part[:, num_context:] for part in output))
    prediction = output.reconstruction.clamp(0, 1)  # (1, num_preds, 3, H, W)
    truth = to_model(batch["frames"][:, num_context:], prediction.device)
    side = min(truth.shape[-2:])
    scores: Scores = {
        name: metric(prediction, truth).cpu().numpy()
        for name, (metric, smallest) in IMAGE_METRICS.items()
        if side >= smallest
    }
    if "masks" in batch:
        true_labels, masks = batch["masks"].numpy()[:, num_context:], masks_of(output)
        scores |= score_labels(true_labels, labels_from_masks(masks))
        scores |= centre_errors(centre_distances(true_labels, masks, assignment[None]), None)
    return {name: scores[name][0] for name in CURVES if name in scores}
