"""Confidence intervals of a mean over several trainings (seeds), all scored on the same videos.

S seeds, V videos.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from ocvp.evaluation.intervals import CONFIDENCE, TOO_FEW, Interval


def interval_over_seeds(of_seeds: Sequence[Interval], num_videos: int) -> Interval:
    """Return an interval of a mean over seeds that is about other seeds and other videos.

    Its squared standard error is the sum of two: deviation² / S of the seeds' means, for trainings
    differ, and the mean squared standard error over videos within a seed. Videos are the same in
    all seeds and err together, so averaging over seeds is not taken to narrow the second. The
    degrees of freedom of such a sum are Satterthwaite's (Biometrics Bulletin 2, 1946). What a seed
    makes of a single video counts in both: intervals are rather too wide than too narrow.

    Args:
        of_seeds: The interval over videos of each seed (`mean_interval`), S of them, at least 2.
        num_videos: How many videos they are over, V.

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
    errors = (highs - lows) / 2 / stdtrit(num_videos - 1, (1 + CONFIDENCE) / 2)  # over videos
    parts = np.array([means.var(ddof=1) / num_seeds, np.mean(errors**2)])
    if not parts.any():
        return {"mean": mean, "low": mean, "high": mean}
    freedom = parts.sum() ** 2 / (parts**2 / [num_seeds - 1, num_videos - 1]).sum()
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(parts.sum()))
    return {"mean": mean, "low": mean - half, "high": mean + half}
