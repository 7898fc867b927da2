"""Probes of a SAVi's slots: fitting them, and what they read on videos that they have not seen.

M objects in frames, T frames, K objects, D slot_dim.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ocvp.compute.randomness import derived_seed, generator
from ocvp.config.tree import Runtime
from ocvp.data.videos import VideoFile
from ocvp.evaluation.object_labels import Labels
from ocvp.evaluation.object_slots import (
    Batch,
    assign_over_clip,
    of_counted,
    of_objects,
    read_batches,
)
from ocvp.evaluation.probe_scores import Part, probe_metrics, read_off
from ocvp.evaluation.probes import KINDS, Probes, fit_probe, obstacle
from ocvp.models.savi import SAVi

logger = logging.getLogger(__name__)

MOST_FITTED = 20_000
"""Objects in frames on which probes are fitted: those of videos in random order, up to where one
target is known of so many; others, which are known of fewer, on fewer."""


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
    features, labels = _read_enough(savi, read_batches(videos, slots, num_frames, order, runtime))
    known = {target: _known(values) for target, values in labels.items()}  # (M,) each
    # the same for all, and whatever the batches: up to where one target is known of enough
    most_known = np.max([np.cumsum(own) for own in known.values()], axis=0)  # (M,)
    if not most_known.any():
        raise ValueError(f"no object of {videos} has a slot, so nothing can be fitted on {slots}")
    end = int(np.searchsorted(most_known, MOST_FITTED)) + 1
    probes: Probes = {}
    for target, values in labels.items():
        rows = np.flatnonzero(known[target][:end])
        if reason := obstacle(values[rows]):
            logger.warning("%s: %s is not probed: %s", videos, target, reason)
            continue
        own = derived_seed(seed, "probe", target)
        probes[target] = {k: fit_probe(k, features[rows], values[rows], own) for k in KINDS}
    return probes


def _read_enough(savi: SAVi, batches: Iterable[Batch]) -> tuple[NDArray[np.float32], Labels]:
    """Return the objects' slots (M, D) and labels (M, ...), of no more batches than are needed."""
    features, parts = [], []
    num_known: Counter[str] = Counter()
    for batch in batches:
        assignment = assign_over_clip(savi, batch)  # (B, K)
        features.append(of_objects(batch.slots, assignment).reshape(-1, batch.slots.shape[-1]))
        counted = of_counted(batch.labels, batch.masks, assignment)
        parts.append({target: _rows(values) for target, values in counted.items()})
        num_known.update({target: int(_known(own).sum()) for target, own in parts[-1].items()})
        if max(num_known.values()) >= MOST_FITTED:
            break
    labels = {target: np.concatenate([own[target] for own in parts]) for target in parts[0]}
    return np.concatenate(features), labels


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
