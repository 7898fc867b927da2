"""The tables of a study: their columns, and the rows that a file of scores gives.

A row has its entries by name of column; what it does not name is empty.
"""

from typing import Any

from ocvp.evaluation.metrics import BASELINES, CONSTANT, NAIVE_SEGMENTERS

NAMES = ("dataset", "savi", "predictor", "seed", "protocol", "split")
"""Columns that say what is scored."""
SUMMARY_COLUMNS = (*NAMES, "metric", "value", *BASELINES, "is_best", "reason")
QUANTITIES = ("gap", "gain", "gain_over_constant_velocity", "beyond_half_gap")
"""What has an interval."""
BOUNDS = ("mean", "low", "high")
COMPARED_VALUES = ("copy_last_slots", "constant_velocity", "ceiling", "gap_closed")
COMPARISON_COLUMNS = (
    *NAMES,
    *("subset", "num_videos", "metric", "value"),
    *COMPARED_VALUES,
    *(f"{quantity}_{bound}" for quantity in QUANTITIES for bound in BOUNDS),
    "reason",
)
DECOMPOSITION = "decomposition"
"""What stands for the protocol in rows about a SAVi by itself."""


def summary_rows(names: dict[str, Any], scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each metric; for a SAVi also rows of the naive segmenters and probes.

    Args:
        names: What the path of the scores says of them: data set, SAVi, predictor, ...
        scores: Content of the file, with the metrics in which it is the `best` (`mark_best`).
    """
    split = scores.get("split") or scores["protocol"]["split"]
    naive_models = () if names.get("predictor") else (*NAIVE_SEGMENTERS, CONSTANT)
    rows = []
    for metric, entry in scores["metrics"].items():
        baselines = {key: entry.get(key) for key in BASELINES}
        row = {**names, "split": split, "metric": metric, "value": entry["mean"], **baselines}
        row["reason"] = entry.get("reason")  # why there is no value
        rows.append({**row, "is_best": metric in scores.get("best", ())})
        for naive in filter(entry.__contains__, naive_models):
            rows.append({**row, "savi": naive, "value": entry[naive]})
    return rows


def comparison_rows(names: dict[str, Any], scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each compared metric of a predictor; arguments as `summary_rows`'s."""
    comparisons = scores.get("comparisons", {})
    return [
        {
            **names,
            "split": scores["protocol"]["split"],
            "subset": comparisons["subset"],
            "num_videos": entry["num_videos"],  # of those in the subset
            "metric": metric,
            "value": entry["prediction"],
            **{name: entry.get(name) for name in COMPARED_VALUES},
            **{f"{q}_{b}": (entry.get(q) or {}).get(b) for q in QUANTITIES for b in BOUNDS},
            "reason": entry.get("reason"),
        }
        for metric, entry in comparisons.items()
        if isinstance(entry, dict) and entry.get("gain")  # compared, and not about all metrics
    ]
