"""Probes of a SAVi's slots: fitting them, and what they read on videos that they have not seen.

M objects in frames, T frames, K objects, D slot_dim.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ocvp.compute.randomness import derived_seed, generator
from ocvp.config.tree import Runtime
from ocvp.data.videos import VideoFile
from ocvp.evaluation.object_slots import assign_over_clip, of_counted, of_objects, read_batches
from ocvp.evaluation.probe_scores import Part, probe_metrics, read_off
from ocvp.evaluation.probes import KINDS, Probe, Probes, fit_probe
from ocvp.models.savi import SAVi

logger = logging.getLogger(__name__)

MOST_FITTED = 20_000
"""Objects in frames on which probes are fitted: those of videos in random order."""


@torch.no_grad()
def fit_probes(savi: SAVi, videos: Path, slots: Path, runtime: Runtime, seed: int) -> Probes:
    """Fit all probes on the slots of videos.

    Args:
        savi: The SAVi that made the slots.
        videos: The videos to fit on.
        slots: The slots of their frames.
        runtime: How many videos at once, and how they are read.
        seed: Seed of the order of the videos, of which some may be enough, and of the MLPs.

    Returns:
        The probes; it warns of a target that has none, since too little is known of it.

    Raises:
        ValueError: If the videos have no masks, or no object in them has a slot.
    """
    with VideoFile(videos) as file:
        order = generator(seed, "probe", "videos").permutation(file.num_videos).tolist()
        num_frames = file.num_frames
    features, labels, count = [], [], 0
    for batch in read_batches(videos, slots, num_frames, order, runtime):
        assignment = assign_over_clip(savi, batch)  # (B, K)
        features.append(of_objects(batch.slots, assignment).reshape(-1, batch.slots.shape[-1]))
        own = of_counted(batch.labels, batch.masks, assignment)
        labels.append({target: _rows(values) for target, values in own.items()})
        count += max(int(_known(values).sum()) for values in labels[-1].values())
        if count >= MOST_FITTED:
            break
    if not count:
        raise ValueError(f"no object of {videos} has a slot, so nothing can be fitted on {slots}")
    joined = np.concatenate(features)  # (M, D)
    probes: Probes = {}
    for target in labels[0]:
        values = np.concatenate([own[target] for own in labels])
        chosen = np.flatnonzero(_known(values))[:MOST_FITTED]
        try:
            probes[target] = _fit_kinds(joined[chosen], values[chosen], target, seed)
        except ValueError as error:
            logger.warning("%s: %s is not probed: %s", videos, target, error)
    return probes


def _fit_kinds(
    slots: NDArray[Any], targets: NDArray[Any], target: str, seed: int
) -> dict[str, Probe]:
    if not len(slots):
        raise ValueError("it is known of no object that has a slot")
    own = derived_seed(seed, "probe", target)
    return {kind: fit_probe(kind, slots, targets, own) for kind in KINDS}


def _rows(values: NDArray[Any]) -> NDArray[Any]:
    """Return labels (B, T, K, ...) as (M, ...)."""
    return values.reshape(-1, *values.shape[3:])


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which rows (M, ...) are known."""
    return values != "" if values.ndim == 1 else ~np.isnan(values).any(axis=-1)


@torch.no_grad()
def probe_savi(
    savi: SAVi,
    probes: Probes,
    videos: Path,
    slots: Path,
    num_frames: int,
    runtime: Runtime,
) -> dict[str, Any]:
    """Score probes on SAVi's own slots.

    Args:
        savi: The SAVi that made the slots.
        probes: Probes of its slots.
        videos: Videos that they were not fitted on.
        slots: The slots of their frames.
        num_frames: Frames of each video.
        runtime: How many videos at once, and how they are read.

    Returns:
        The metrics of a file of scores (docs/probes.md).

    Raises:
        ValueError: If the videos have no masks, or something is damaged.
    """
    parts: list[Part] = []
    for batch in read_batches(videos, slots, num_frames, None, runtime):
        assignment = assign_over_clip(savi, batch)  # (B, K)
        truth = of_counted(batch.labels, batch.masks, assignment)
        parts.append((truth, {"slots": read_off(probes, of_objects(batch.slots, assignment))}))
    return probe_metrics(probes, parts)
