"""Confidence intervals of a mean over several trainings (seeds), all scored on the same videos.

S seeds.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from ocvp.evaluation.intervals import CONFIDENCE, TOO_FEW, Interval


def interval_over_seeds(of_seeds: Sequence[Interval]) -> Interval:
    """Return an interval of a mean over seeds that is about other seeds and other videos.

    Two errors add up: trainings differ, and so do videos. Of the first the interval is Student's t
    of the seeds' means; of the second that over videos, in the (quadratic) mean over seeds: videos
    are the same in all and err together, so more seeds are not taken to narrow it. The half widths
    of independent errors add up by their squares (Howe, JASA 69, 1974). What a seed makes of a
    single video counts in both: with much of that, intervals are too wide rather than too narrow.

    Args:
        of_seeds: The interval over videos of each seed (`mean_interval`), S of them, at least 2.

    Returns:
        `mean`, and the bounds `low` and `high`: None, with the `reason`, where a seed has none.

    Raises:
        ValueError: If there are fewer than two seeds.
    """
    num_seeds = len(of_seeds)
    if num_seeds < 2:
        raise ValueError(f"an interval over seeds needs at least 2 of them, got {num_seeds}")
    columns = ([interval[bound] for interval in of_seeds] for bound in ("mean", "low", "high"))
    means, lows, highs = (np.array(column, dtype=np.float64) for column in columns)  # None: NaN
    mean = float(means.mean())
    if np.isnan(lows).any():
        return {"mean": mean, "low": None, "high": None, "reason": TOO_FEW}
    quantile = stdtrit(num_seeds - 1, (1 + CONFIDENCE) / 2)
    of_trainings = quantile * means.std(ddof=1) / np.sqrt(num_seeds)
    of_videos = np.sqrt(np.mean(((highs - lows) / 2) ** 2))
    half = float(np.hypot(of_trainings, of_videos))
    return {"mean": mean, "low": mean - half, "high": mean + half}
