"""Scores of what probes read off slots: R2 of numbers, accuracy of classes, over videos.

Both are made of sums over the objects of all videos that count: R2 is 1 minus the ratio of squared
errors to squared deviations from the mean, accuracy the ratio of right answers to answers.

V videos, T frames, K objects, C components.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocvp.evaluation.intervals import Interval, mean_interval
from ocvp.evaluation.metrics import CONSTANT
from ocvp.evaluation.object_labels import Labels
from ocvp.evaluation.probes import Probes

Floats = NDArray[np.float64]
COPY = "copy_last_slots"
UNDEFINED = "no object whose value is known, or all values are the same"
UNTOLD = "these videos do not tell it, or not as those do that the probes were fitted on"

Readings = dict[tuple[str, str], NDArray[Any]]
"""What each probe, by target and kind, read off slots, of the shape of labels."""
Part = tuple[Labels, dict[str, Readings]]
"""Of one batch the truth, and for each variant of the slots what each probe read of them."""


def read_off(probes: Probes, slots: NDArray[np.float32]) -> Readings:
    """Return what each probe reads off the objects' slots (B, T, K, D)."""
    return {
        (target, kind): probe.read(slots)
        for target, kinds in probes.items()
        for kind, probe in kinds.items()
    }


def probe_metrics(probes: Probes, parts: Sequence[Part]) -> dict[str, Any]:
    """Return an entry for each probe: scores of the first variant, with those of the others."""
    metrics: dict[str, Any] = {}
    for target, kinds in probes.items():
        if not _is_told(target, *parts[0]):
            lacking = {"mean": None, "per_frame": None, "reason": UNTOLD}
            metrics |= {f"probe_{target}_{kind}": lacking for kind in kinds if kind != CONSTANT}
            continue
        truth = np.concatenate([labels[target] for labels, _ in parts])  # (V, T, K, ...)
        for kind in kinds:
            read = {
                variant: np.concatenate([readings[variant][target, kind] for _, readings in parts])
                for variant in parts[0][1]
            }
            metrics[f"probe_{target}_{kind}"] = _entry(truth, read)
        constant = metrics.pop(f"probe_{target}_{CONSTANT}")["mean"]
        for kind in filter(CONSTANT.__ne__, kinds):
            metrics[f"probe_{target}_{kind}"][CONSTANT] = constant
    return metrics


def _is_told(target: str, labels: Labels, readings: Mapping[str, Readings]) -> bool:
    """Tell whether labels have a target, in the form in which probes read it."""
    read = next(iter(readings.values()))
    return target in labels and labels[target].shape == read[target, CONSTANT].shape


def _entry(truth: NDArray[Any], read: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    first, *others = read
    entry = score_reading(truth, read[first])
    for variant in others:
        scores = score_reading(truth, read[variant])
        entry[variant], entry[f"{variant}_per_frame"] = scores["mean"], scores["per_frame"]
    if COPY in others and entry["mean"] is not None:
        entry["gain"] = gain(truth, read[first], read[COPY])
    return entry


def score_reading(truth: NDArray[Any], reading: NDArray[Any]) -> dict[str, Any]:
    """Score what a probe reads.

    Args:
        truth: Numbers (V, T, K, C), NaN where an object does not count; or names of classes
            (V, T, K), empty there.
        reading: What the probe read, of the same shape.

    Returns:
        `measure`, r2 or accuracy; `mean`, over all objects and frames; `low` and `high`, the bounds
        of its interval over videos (see `linearised`); `per_frame`, the same of each frame alone.
        Where there is no value, None and the `reason`.
    """
    result: dict[str, Any] = {"measure": "accuracy" if truth.ndim == 3 else "r2"}
    if not _sums(truth, reading)[1].sum():
        return result | {"mean": None, "per_frame": None, "reason": UNDEFINED}
    frames = range(truth.shape[1])
    curve = [_score(*_sums(truth[:, t : t + 1], reading[:, t : t + 1]), truth.ndim) for t in frames]
    return {
        **result,
        **mean_interval(_of_videos(truth, reading)),
        "per_frame": [None if np.isnan(score) else score for score in curve],
    }


def gain(truth: NDArray[Any], reading: NDArray[Any], other: NDArray[Any]) -> Interval:
    """Return by how much one reading scores better than another, with an interval over videos.

    Args:
        truth: As of `score_reading`; its score must have a value.
        reading: What a probe read of some slots.
        other: What it read of others.
    """
    return mean_interval(_of_videos(truth, reading) - _of_videos(truth, other))


def _of_videos(truth: NDArray[Any], reading: NDArray[Any]) -> Floats:
    """Return numbers of each video whose mean is the score, (V,)."""
    own = linearised(*_sums(truth, reading))
    return own if truth.ndim == 3 else 1 - own


def linearised(numerators: Floats, denominators: Floats) -> Floats:
    """Return numbers of each video whose mean is a ratio of sums over videos.

    Videos are independent of each other, objects and frames of one are not. A ratio of two sums
    has no value for each video that could be averaged, but varies like the mean of
    ratio + (numerator - ratio * denominator) / mean denominator (Cochran, Sampling Techniques,
    1977, chapter 6), so that an interval of that mean is one of the ratio.

    Args:
        numerators: Of each video, (V,).
        denominators: Of each video, (V,); their sum must not be 0.

    Returns:
        One number for each video, (V,); NaN for one without any object that counts.
    """
    counted = (numerators > 0) | (denominators > 0)
    ratio = _ratio(numerators, denominators)
    deviations = (numerators - ratio * denominators) / denominators[counted].mean()
    return np.where(counted, ratio + deviations, np.nan)


def _sums(truth: NDArray[Any], reading: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the sums whose ratio is the accuracy, or what R2 lacks to 1, of each video (V,)."""
    if truth.ndim == 3:
        known = truth != ""  # (V, T, K)
        right = known & (truth == reading)
        return right.sum(axis=(1, 2)).astype(float), known.sum(axis=(1, 2)).astype(float)
    known = ~np.isnan(truth).any(axis=-1)  # (V, T, K)
    if not known.any() or np.ptp(truth[known], axis=0).max() == 0:
        return np.zeros(len(truth)), np.zeros(len(truth))
    errors = (reading - truth) ** 2
    deviations = (truth - truth[known].mean(axis=0)) ** 2
    # where nothing is known, values are NaN and do not count
    totals = [
        np.where(known, part.sum(axis=-1), 0).sum(axis=(1, 2)) for part in (errors, deviations)
    ]
    return totals[0], totals[1]


def _score(numerators: Floats, denominators: Floats, num_axes: int) -> float:
    """Return accuracy or R2, NaN where nothing counts."""
    ratio = _ratio(numerators, denominators)
    return ratio if num_axes == 3 else 1 - ratio


def _ratio(numerators: Floats, denominators: Floats) -> float:
    total = denominators.sum()
    return float(numerators.sum() / total) if total else float("nan")
