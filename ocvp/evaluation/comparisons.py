"""A prediction beside its baselines, video by video, on the videos in which objects move.

V videos, T frames.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ocvp.evaluation.intervals import Interval, mean_interval
from ocvp.evaluation.metrics import METRICS
from ocvp.evaluation.scoring import Scores, per_video

COMPARED = (
    "centre_error",
    "slot_mse",
    "miou",
    "centre_error_after_contact",
    "centre_error_without_contact",
)
"""Metrics by which the prediction is compared, where there are scores."""
VARIANTS = ("prediction", "copy_last_slots", "constant_velocity", "ceiling")
"""What is compared."""
NONE_MOVES = "no video in which objects move"
UNDEFINED = "in no video in which objects move it is defined"
NO_VELOCITY = "a context of one frame has no velocity"
NO_GAP = "the gap from copy_last_slots to ceiling is not above 0 (by its interval)"


def compare(scores: Mapping[str, Scores], moving: np.ndarray) -> dict[str, Any]:
    """Compare the prediction with the baselines on the videos in which objects move.

    Args:
        scores: Scores by variant; `constant_velocity` may have none.
        moving: Which videos count, (V,).

    Returns:
        For each of `COMPARED` that has scores what `compare_metric` returns, and of which videos.
    """
    result: dict[str, Any] = {
        "subset": "moving",
        "num_videos": int(moving.sum()),
        "mean_over": "videos",
    }
    for name in filter(scores["prediction"].__contains__, COMPARED):
        sign = -1.0 if METRICS[name].lower_is_better else 1.0
        values = {
            variant: sign * per_video(scores[variant][name])[moving]
            for variant in VARIANTS
            if name in scores[variant]
        }
        result[name] = compare_metric(values, sign)
    return result


def compare_metric(values: Mapping[str, np.ndarray], sign: float) -> dict[str, Any]:
    """Compare one metric.

    Args:
        values: By variant its value in each video, (V,), times `sign`, so that higher is better;
            NaN where it is undefined.
        sign: -1 where lower is better, else 1.

    Returns:
        `num_videos`, those in which it is defined, and means over them: of each variant; of the
        `gap` from copy_last_slots to the ceiling; of `gain`, better than copy_last_slots by, and
        `gain_over_constant_velocity`; of `beyond_half_gap`, gain minus half the gap; all but the
        first with their intervals. `gap_closed` is the share of the gap that is gained. That and
        `beyond_half_gap` are None, with the `reason`, where the gap's interval is not above 0.
    """
    defined = ~np.isnan(sum(values.values()))  # for all variants
    if not defined.any():
        return {"reason": UNDEFINED if defined.size else NONE_MOVES}
    values = {variant: own[defined] for variant, own in values.items()}
    gain = values["prediction"] - values["copy_last_slots"]
    gap = values["ceiling"] - values["copy_last_slots"]
    result: dict[str, Any] = {
        "num_videos": int(defined.sum()),
        **{variant: float(sign * own.mean()) for variant, own in values.items()},
        "gap": mean_interval(gap),
        "gain": mean_interval(gain),
        "gain_over_constant_velocity": None,
    }
    if "constant_velocity" in values:
        over = mean_interval(values["prediction"] - values["constant_velocity"])
        result["gain_over_constant_velocity"] = over
    result |= shares_of_gap(gain, gap)
    if "constant_velocity" not in values:
        result["reason"] = "; ".join(filter(None, [result.get("reason"), NO_VELOCITY]))
    return result


def shares_of_gap(gain: np.ndarray, gap: np.ndarray) -> dict[str, Any]:
    """Return `gap_closed` and `beyond_half_gap`, or why there is no gap to have a share of.

    Args:
        gain: Of each video, (V,).
        gap: Of each video, (V,).
    """
    interval: Interval = mean_interval(gap)
    low = interval["low"]
    if low is None or low <= 0:
        return {
            "gap_closed": None,
            "beyond_half_gap": None,
            "reason": interval.get("reason", NO_GAP),
        }
    return {
        "gap_closed": float(gain.mean() / gap.mean()),
        "beyond_half_gap": mean_interval(gain - gap / 2),
    }
