"""What the probes of a SAVi's slots read in predicted ones, beside copied ones and SAVi's own.

B videos of a batch, N slots, D slot_dim, H W pixels.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocvp.batches.windows import check_finite
from ocvp.config.tree import Protocol, Runtime
from ocvp.evaluation.baselines import extrapolate
from ocvp.evaluation.object_slots import decoded_masks, of_counted, of_objects, read_batches
from ocvp.evaluation.probe_scores import COPY, Part, probe_metrics, read_off
from ocvp.evaluation.probes import Probes
from ocvp.evaluation.tracking_metrics import assign_slots
from ocvp.models.rollout import rollout
from ocvp.models.savi import SAVi


@torch.no_grad()
def probe_predictor(
    savi: SAVi,
    predictor: nn.Module,
    probes: Probes,
    videos: Path,
    slots: Path,
    protocol: Protocol,
    runtime: Runtime,
) -> dict[str, Any]:
    """Score the same probes on predicted slots, frame by frame, beside copied ones and SAVi's.

    Objects have the slots that SAVi's masks give them in the last context frame, as for the centre
    error.

    Args:
        savi: The SAVi that made the slots.
        predictor: The predictor, in evaluation mode.
        probes: Probes of the SAVi's slots.
        videos: Videos that they were not fitted on.
        slots: The slots of their frames.
        protocol: Lengths of context and prediction.
        runtime: How many videos at once, and how they are read.

    Returns:
        The metrics of a file of scores (docs/probes.md).

    Raises:
        ValueError: If the videos have no masks, something is damaged, or a prediction is not
            finite.
    """
    device = next(savi.parameters()).device
    num_context, length = protocol.num_context, protocol.num_context + protocol.num_preds
    parts: list[Part] = []
    for batch in read_batches(videos, slots, length, None, runtime):
        context, future = (
            part.to(device) for part in batch.slots.split([num_context, protocol.num_preds], dim=1)
        )
        last = decoded_masks(savi, context[:, -1])  # (B, N, H, W)
        assignment = assign_slots(batch.masks[:, num_context - 1], last, batch.num_objects)
        prediction = rollout(predictor, context, protocol.num_preds)  # (B, num_preds, N, D)
        check_finite(prediction, batch.windows, "the predicted slots")
        variants = {
            "prediction": prediction,
            COPY: context[:, -1:].expand_as(future),
            "ceiling": future,
        }
        if num_context > 1:
            variants["constant_velocity"] = extrapolate(context, protocol.num_preds)
        readings = {
            name: read_off(probes, of_objects(variant, assignment))
            for name, variant in variants.items()
        }
        labels = {target: values[:, num_context:] for target, values in batch.labels.items()}
        parts.append((of_counted(labels, batch.masks[:, num_context:], assignment), readings))
    return probe_metrics(probes, parts)
