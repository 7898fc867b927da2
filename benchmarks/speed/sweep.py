"""How time and memory of a step grow: with frames, slots, batch and the size of the data set."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speed.asking import Job
from speed.data import make_data
from speed.subject import Subject
from speed.turns import take_turns

AXES: dict[str, dict[str, str]] = {
    "savi": {
        "frames": "savi_frames",
        "slots": "num_slots",
        "batch": "savi_batch",
        "videos": "savi_videos",
    },
    "ocvp_seq": {"frames": "num_preds", "slots": "num_slots", "batch": "predictor_batch"},
}
"""Work to what is varied, and the size that it stands for (`num_slots`: the model's)."""
BASE = {"savi_batch": 2, "savi_frames": 4, "predictor_batch": 2}
FACTORS = (1, 2, 4, 8)
LEAST = {"frames": 4, "slots": 3, "batch": 1, "videos": 16}
"""The smallest value of each axis; the others are `FACTORS` times it."""
QUICK_FACTORS = (1, 2)


def sweep(
    subject: Subject, folder: Path, names: Sequence[str], rounds: int, is_quick: bool
) -> dict[str, Any]:
    """Measure steps of several sizes in turns, and fit how they grow.

    Args:
        subject: What is measured.
        folder: Where files may lie.
        names: The work, of `AXES`.
        rounds: Turns of each size.
        is_quick: Whether two sizes do.

    Returns:
        Work to what is varied to `values`, `seconds` (medians), `megabytes` (those that the work
        added), and the exponents of both; None where they cannot be measured.
    """
    found: dict[str, Any] = {}
    for name in names:
        for axis, size in AXES[name].items():
            values = [LEAST[axis] * factor for factor in (QUICK_FACTORS if is_quick else FACTORS)]
            jobs = {}
            for value in values:
                place = folder / f"{name}-{axis}-{value}"
                make_data(varied(subject, size, value), place, [name])
                jobs[str(value)] = Job(place, name)
            measured = take_turns(jobs, rounds, least_seconds=0.0, is_counted=False)
            found.setdefault(name, {})[axis] = fitted(values, list(measured.values()))
    return found


def varied(subject: Subject, size: str, value: int) -> Subject:
    """Return a subject of small sizes, one of which has this value."""
    subject = subject.resized(**BASE)
    if size != "num_slots":
        return subject.resized(**{size: value})
    return subject.with_slots(value)


def fitted(values: Sequence[int], measured: Sequence[Any]) -> dict[str, Any]:
    """Return medians, and how they grow with the values."""
    reasons = [one.reason for one in measured if one.reason]
    if reasons:
        return {"values": list(values), "reason": reasons[0]}
    seconds = [statistics.median(one.seconds) for one in measured]
    # At least a byte, which has a logarithm.
    megabytes = [max(one.peak_bytes - one.bytes_before, 1) / 1e6 for one in measured]
    return {
        "values": list(values),
        "seconds": seconds,
        "megabytes": megabytes,
        "seconds_exponent": exponent(values, seconds),
        "megabytes_exponent": exponent(values, megabytes),
    }


def exponent(values: Sequence[float], costs: Sequence[float]) -> float:
    """Return the power of the value with which a cost grows, by least squares of the logarithms."""
    slope, _ = np.polyfit(np.log(values), np.log(costs), 1)
    return float(slope)


def sweep_table(result: Mapping[str, Any]) -> str:
    """Return the exponents, and the values between which they were fitted."""
    lines = [f"{'':14}{'':10}{'from':>8}{'to':>8}{'time':>12}{'memory':>12}"]
    for name, found in result["sweep"].items():
        for axis, points in found.items():
            least, most = points["values"][0], points["values"][-1]
            start = f"{name:14}{axis:10}{least:>8}{most:>8}"
            if "reason" in points:
                lines.append(f"{start}  not measured: {points['reason']}")
                continue
            exponents = (points["seconds_exponent"], points["megabytes_exponent"])
            lines.append(start + "".join(f"{value:12.2f}" for value in exponents))
    return "\n".join(lines)
