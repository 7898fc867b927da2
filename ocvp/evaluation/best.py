"""Which of several models is surely the best on the same videos, metric by metric.

V videos.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ocvp.evaluation.intervals import mean_interval
from ocvp.evaluation.metrics import METRICS
from ocvp.evaluation.tables import DECOMPOSITION

PerVideo = Mapping[str, Sequence[float | None]]
"""By metric its value in each video, (V,); None where it is undefined."""
Scored = tuple[dict[str, Any], dict[str, Any]]
"""What the path of a file of scores says, and its content."""


def mark_best(found: Sequence[Scored]) -> list[Scored]:
    """Add to the content of each file `best`: the metrics in which its model is surely the best.

    It stands against the others of the same data set, split and seed: a predictor against those of
    the same SAVi and protocol, a SAVi against the other SAVis.

    Args:
        found: Names and content of each file of scores.
    """
    groups: dict[tuple[Any, ...], dict[str, PerVideo]] = defaultdict(dict)
    for names, scores in found:
        groups[_beside(names, scores)][_model(names)] = scores.get("per_video", {})
    best = {beside: best_models(models) for beside, models in groups.items()}
    return [
        (names, scores | {"best": best[_beside(names, scores)][_model(names)]})
        for names, scores in found
    ]


def best_models(models: Mapping[str, PerVideo]) -> dict[str, list[str]]:
    """Return in which metrics each model is surely better than every other one.

    Args:
        models: By model its values in each video, the same videos for all.
    """
    best: dict[str, list[str]] = {model: [] for model in models}
    for metric, row in METRICS.items():
        sign = -1.0 if row.lower_is_better else 1.0
        values = {
            model: sign * np.array(of[metric], float)
            for model, of in models.items()
            if metric in of
        }
        for model, own in values.items():
            others = [other for name, other in values.items() if name != model]
            if others and all(is_surely_above(own, other) for other in others):
                best[model].append(metric)
    return best


def is_surely_above(values: np.ndarray, others: np.ndarray) -> bool:
    """Return whether the 95 % interval of the paired difference over videos lies above 0.

    Args:
        values: One for each video, (V,), NaN where it is undefined.
        others: The same of another model; of other videos, it is not sure.
    """
    if values.shape != others.shape or np.isnan(values - others).all():
        return False
    low = mean_interval(values - others)["low"]
    return low is not None and low > 0


def _beside(names: dict[str, Any], scores: dict[str, Any]) -> tuple[Any, ...]:
    """Return what models that are compared have in common."""
    split = scores.get("split") or scores["protocol"]["split"]
    savi = "" if names["protocol"] == DECOMPOSITION else names["savi"]
    is_probe = "per_video" not in scores
    return names["dataset"], savi, names["seed"], names["protocol"], split, is_probe


def _model(names: dict[str, Any]) -> str:
    return str(names["savi"] if names["protocol"] == DECOMPOSITION else names["predictor"])
