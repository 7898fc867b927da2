"""Confidence intervals for the difference between two models on the same videos.

V videos.
"""

from collections.abc import Sequence

import numpy as np

from ocvp.compute.randomness import generator

# Resamples are drawn in blocks of about this many indices, 32 MB of them.
_BLOCK = 4_000_000
NUM_RESAMPLES = 10_000
CONFIDENCE = 0.95
"""Probability that an interval should cover."""


def paired_bootstrap(differences: np.ndarray | Sequence[float], *, seed: int) -> dict[str, float]:
    """Percentile bootstrap of a mean of per-video differences (Efron and Tibshirani, 1993).

    Videos are what is resampled, because the frames of one video are not independent. The same
    seed and number of videos draw the same resamples, so comparisons share them.

    Args:
        differences: Score of one model minus that of the other, per video, shape (V,). NaN means
            that the metric is undefined for the video (no object in it); it is dropped, and the
            interval is about the videos that are left.
        seed: Seed of the resamples.

    Returns:
        `mean`, and the bounds of its interval `low` and `high`, in the unit of the differences; all
        three are equal for a single video.

    Raises:
        ValueError: If `differences` is not a vector, holds an infinity or nothing but NaN.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"differences must have shape (V,), got {values.shape}")
    values = values[~np.isnan(values)]  # (V,), of the videos that are left
    if values.size == 0:
        raise ValueError("differences hold no number: the metric is undefined for every video")
    if np.isinf(values).any():
        raise ValueError("differences hold an infinity; every difference must be finite or NaN")
    draw = generator(seed, "paired bootstrap")
    block = max(1, _BLOCK // values.size)
    means = np.empty(NUM_RESAMPLES)
    for start in range(0, NUM_RESAMPLES, block):
        stop = min(start + block, NUM_RESAMPLES)
        chosen = draw.integers(values.size, size=(stop - start, values.size))  # (resamples, V)
        means[start:stop] = values[chosen].mean(axis=1)
    tail = 50 * (1 - CONFIDENCE)  # per cent, on either side
    low, high = np.percentile(means, [tail, 100 - tail])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}
