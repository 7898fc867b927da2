"""Which videos predictors do well on, and a choice of them from the best to the worst.

V videos.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ocvp.config.tree import RANKED_VIDEOS
from ocvp.evaluation.metrics import METRICS

RANKED_BY = ("miou", "psnr")
"""Metrics to rank by, of which the first with values counts: the second needs no masks."""


class Ranking(NamedTuple):
    """The videos of a split by how well predictors do on them."""

    metric: str
    """What they are ranked by."""
    videos: list[int]
    """The videos, best first by the mean over predictors; those without a value are left out."""


def rank_videos(scores: Sequence[Mapping[str, Any]]) -> Ranking:
    """Rank the videos of a split by what several predictors score on them.

    Args:
        scores: Content of each predictor's file of scores, under one protocol.

    Raises:
        ValueError: If a file does not say how well each video was predicted.
    """
    for metric in RANKED_BY:
        values = np.mean([_of_videos(entry, metric) for entry in scores], axis=0)  # (V,)
        known = np.flatnonzero(~np.isnan(values))
        if len(known):
            sign = 1 if METRICS[metric].lower_is_better else -1
            order = known[np.argsort(sign * values[known], kind="stable")]
            return Ranking(metric, order.tolist())
    raise ValueError(
        f"no video has a score by {' or '.join(RANKED_BY)} under per_video; score it again"
    )


def named_video(name: str, ranking: Ranking) -> int:
    """Return the video that a figure's name stands for: `video3`, `best`, `median` or `worst`.

    Args:
        name: The name.
        ranking: Of all videos of the split.

    Raises:
        ValueError: If it is another name.
    """
    if name in RANKED_VIDEOS:
        last = len(ranking.videos) - 1
        return ranking.videos[RANKED_VIDEOS.index(name) * last // (len(RANKED_VIDEOS) - 1)]
    if not re.fullmatch(r"video\d+", name):
        allowed = ", ".join(RANKED_VIDEOS)
        raise ValueError(f"there is no video {name!r}; allowed are video0, video1, ..., {allowed}")
    return int(name.removeprefix("video"))


def spread(ranked: Sequence[int], count: int) -> list[int]:
    """Choose videos evenly from the best to the worst, the best and the worst of all first.

    Args:
        ranked: Videos, best first.
        count: How many to choose, at least 1; as many as there are where they are fewer.
    """
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    first, *between = dict.fromkeys(places.tolist())
    return [ranked[place] for place in (first, *between[-1:], *between[:-1])]


def _of_videos(scores: Mapping[str, Any], metric: str) -> np.ndarray:
    values = (scores.get("per_video") or {}).get(metric) or []
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
