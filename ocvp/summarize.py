"""Gather the scores of a study into tables: results/summary.csv and results/comparisons.csv.

The first holds every metric of every model beside its baselines, the second compares predictors
with copy_last_slots on the videos in which objects move. Both are printed, averaged over seeds.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ocvp.files import atomic_path
from ocvp.program import run, start_logging
from ocvp.scoring import MASK_METRICS

SUMMARY_COLUMNS = (
    "dataset",
    "savi",
    "predictor",
    "seed",
    "protocol",
    "split",
    "metric",
    "value",
    "copy_last_frame",
    "copy_last_slots",
    "ceiling",
)
NAIVE_SEGMENTERS = ("kmeans_colour", "held_boxes")
DECOMPOSITION = "decomposition"
"""What stands for the protocol in rows about a SAVi by itself."""

PATH = re.compile(
    r"(?P<dataset>[a-z0-9_]+)/(?P<savi>[a-z0-9_]+)/seed(?P<seed>\d+)/"
    r"(evaluation|(?P<predictor>[a-z0-9_]+)/evaluation/(?P<protocol>[a-z0-9_]+))\.json$"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scores",
        type=Path,
        nargs="+",
        help="evaluation files, named as the workflow names them "
        "(DATASET/SAVI/seedN/evaluation.json, .../PREDICTOR/evaluation/PROTOCOL.json)",
    )
    parser.add_argument("--summary", type=Path, required=True, help="table of scores (CSV)")
    parser.add_argument("--comparisons", type=Path, required=True, help="comparisons (CSV)")
    parser.add_argument("--log", type=Path, help="file for records, warnings and tracebacks")
    args = parser.parse_args(argv)
    start_logging(args.log)
    summary, comparisons = [], []
    for path in args.scores:
        names, scores = read_scores(path)
        summary.extend(summary_rows(names, scores))
        comparisons.extend(comparison_rows(names, scores))
    table = pd.DataFrame(summary, columns=list(SUMMARY_COLUMNS))
    compared = pd.DataFrame(comparisons)
    for frame, path in ((table, args.summary), (compared, args.comparisons)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    print(render(table, compared))
    print(f"\nTables: {args.summary}, {args.comparisons}")
    return 0


def read_scores(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read one evaluation file, and the names of the study's entries from its path.

    Raises:
        ValueError: If the file is missing, no JSON, or not named as the workflow names it.
    """
    match = PATH.search(path.as_posix())
    if match is None:
        raise ValueError(
            f"{path} does not say what it scores; expected DATASET/SAVI/seedN/evaluation.json or "
            "DATASET/SAVI/seedN/PREDICTOR/evaluation/PROTOCOL.json"
        )
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    names = {**match.groupdict(default=""), "seed": int(match["seed"])}
    names["protocol"] = names["protocol"] or DECOMPOSITION
    return names, scores


def summary_rows(names: dict[str, Any], scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each metric; for a SAVi also rows of the naive segmenters."""
    split = scores.get("split") or scores["protocol"]["split"]
    rows = []
    for metric, entry in scores["metrics"].items():
        baselines = {key: entry.get(key) for key in SUMMARY_COLUMNS[-3:]}
        row = {**names, "split": split, "metric": metric, "value": entry["mean"], **baselines}
        rows.append(row)
        if metric in MASK_METRICS:
            rows.extend(
                {**row, "savi": naive, "value": entry[naive]}
                for naive in NAIVE_SEGMENTERS
                if naive in entry
            )
    return rows


def comparison_rows(names: dict[str, Any], scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each compared metric of a predictor."""
    comparisons = scores.get("comparisons", {})
    rows = []
    for metric, entry in comparisons.items():
        if not isinstance(entry, dict) or "gain" not in entry:
            continue
        intervals = {
            f"{quantity}_{bound}": entry[quantity][bound]
            for quantity in ("gain", "beyond_half_gap")
            for bound in ("mean", "low", "high")
        }
        values = {
            "value": entry["prediction"],
            "copy_last_slots": entry["copy_last_slots"],
            "ceiling": entry["ceiling"],
            "gap_closed": entry["gap_closed"],
        }
        rows.append(
            {
                **names,
                "split": scores["protocol"]["split"],
                "subset": comparisons["subset"],
                "num_videos": comparisons["num_videos"],
                "metric": metric,
                **values,
                **intervals,
            }
        )
    return rows


def render(summary: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """Return the tables as text for a terminal: means over seeds, with their deviation."""
    alone = summary[summary["predictor"] == ""]
    parts = []
    for (dataset, split), group in alone.groupby(["dataset", "split"], sort=False):
        parts.append(f"Decomposition of {dataset} ({split}), mean over seeds\n")
        parts.append(_pivot(group, ["savi"]))
    predicted = summary[summary["predictor"] != ""]
    keys = ["dataset", "savi", "protocol", "split"]
    for (dataset, savi, protocol, split), group in predicted.groupby(keys, sort=False):
        parts.append(f"\nPrediction on {dataset} ({split}) with {savi}, protocol {protocol}\n")
        parts.append(_pivot(_with_baselines(group), ["predictor"]))
    if len(comparisons):
        parts.append(
            "\nAgainst copy_last_slots, on the videos in which objects move "
            "(95 % paired bootstrap intervals over videos)\n"
        )
        parts.append(_compare(comparisons))
    return "\n".join(parts)


def _with_baselines(group: pd.DataFrame) -> pd.DataFrame:
    """Append the baselines, the same for all predictors, as rows of their own."""
    baselines = []
    for name in SUMMARY_COLUMNS[-3:]:
        rows = group.drop_duplicates(["metric", "seed"]).copy()
        rows["predictor"], rows["value"] = name, rows[name]
        baselines.append(rows)
    return pd.concat([group, *baselines])


def _pivot(rows: pd.DataFrame, index: list[str]) -> str:
    """Return metrics as columns and models as rows; mean ± standard deviation over seeds."""
    rows = rows.assign(value=pd.to_numeric(rows["value"])).dropna(subset=["value"])
    order = list(dict.fromkeys(rows[index[0]]))
    metrics = list(dict.fromkeys(rows["metric"]))
    several = rows["seed"].nunique() > 1
    lines = {}
    for name in order:
        own = rows[rows[index[0]] == name]
        values = {metric: own[own["metric"] == metric]["value"] for metric in metrics}
        lines[name] = [_cell(column, several) for column in values.values()]
    table = pd.DataFrame.from_dict(lines, orient="index", columns=metrics)
    return table.to_string()


def _cell(values: pd.Series, several: bool) -> str:
    if values.empty:
        return "-"
    text = f"{values.mean():.4g}"
    return f"{text} ± {values.std():.2g}" if several and len(values) > 1 else text


def _compare(comparisons: pd.DataFrame) -> str:
    table = comparisons.assign(
        gain=_intervals(comparisons, "gain"),
        beyond_half_gap=_intervals(comparisons, "beyond_half_gap"),
        gap_closed=[
            "-" if pd.isna(share) else f"{share:.0%}" for share in comparisons["gap_closed"]
        ],
    )
    columns = [
        "predictor",
        "seed",
        "protocol",
        "num_videos",
        "metric",
        "value",
        "copy_last_slots",
        "ceiling",
        "gap_closed",
        "gain",
        "beyond_half_gap",
    ]
    return table[columns].to_string(index=False, float_format=lambda value: f"{value:.4g}")


def _intervals(comparisons: pd.DataFrame, quantity: str) -> list[str]:
    bounds = zip(
        *(comparisons[f"{quantity}_{bound}"] for bound in ("mean", "low", "high")), strict=True
    )
    return [f"{mean:.3g} [{low:.3g}, {high:.3g}]" for mean, low, high in bounds]


if __name__ == "__main__":
    run(main)
