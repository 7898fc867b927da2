"""Gather the scores of a study into tables: results/summary.csv and results/comparisons.csv.

The first holds every metric of every model beside its baselines, the second compares predictors
with copy_last_slots on the videos in which objects move.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ocvp.config.tree import Config
from ocvp.evaluation.metrics import BASELINES, MASK_METRICS, NAIVE_SEGMENTERS
from ocvp.evaluation.tables import MODEL, NAME, study_of, table_parser
from ocvp.records.records import Making
from ocvp.runtime.files import atomic_path, check_writable, read_json
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import run
from ocvp.study.products import products
from ocvp.study.staleness import check_products

logger = logging.getLogger("ocvp.summarize")

SUMMARY_COLUMNS = (
    "dataset",
    "savi",
    "predictor",
    "seed",
    "protocol",
    "split",
    "metric",
    "value",
    *BASELINES,
)
QUANTITIES = ("gain", "beyond_half_gap")
BOUNDS = ("mean", "low", "high")
COMPARISON_COLUMNS = (
    "dataset",
    "savi",
    "predictor",
    "seed",
    "protocol",
    "split",
    "subset",
    "num_videos",
    "metric",
    "value",
    "copy_last_slots",
    "ceiling",
    "gap_closed",
    *(f"{quantity}_{bound}" for quantity in QUANTITIES for bound in BOUNDS),
)
DECOMPOSITION = "decomposition"
"""What stands for the protocol in rows about a SAVi by itself."""

PATH = re.compile(
    rf"(?P<dataset>{NAME})/(?P<savi>{MODEL})/seed(?P<seed>\d+)/"
    rf"(evaluation|(?P<predictor>{MODEL})/evaluation/(?P<protocol>{NAME}))\.json$"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = table_parser(
        "ocvp.summarize",
        __doc__,
        config_help="products that were made with another config or other code are refused",
    )
    parser.add_argument(
        "scores",
        type=Path,
        nargs="*",
        help="evaluation files, named as the workflow names them "
        "(DATASET/SAVI/seedN/evaluation.json, .../PREDICTOR/evaluation/PROTOCOL.json; default: all "
        "of the study of --config)",
    )
    parser.add_argument("--summary", type=Path, required=True, help="table of scores (CSV)")
    parser.add_argument("--comparisons", type=Path, required=True, help="comparisons (CSV)")
    args = parser.parse_args(argv)
    start_logging(args.log)
    making = Making("summarize", argv)
    for path in (args.summary, args.comparisons):
        check_writable(path)
    study, written = study_of(args)
    if study is not None:
        check_products(study)
    scores_of = args.scores or scores_of_study(study)
    summary, comparisons = [], []
    for path in scores_of:
        names, scores = read_scores(path)
        summary.extend(summary_rows(names, scores))
        comparisons.extend(comparison_rows(names, scores))
    table = pd.DataFrame(summary, columns=list(SUMMARY_COLUMNS))
    compared = pd.DataFrame(comparisons, columns=list(COMPARISON_COLUMNS))
    for frame, path in ((table, args.summary), (compared, args.comparisons)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    making.read({"scores": scores_of})
    making.finish([args.summary, args.comparisons], written)
    logger.info("tables: %s, %s", args.summary, args.comparisons)
    return 0


def scores_of_study(config: Config | None) -> list[Path]:
    """Return the evaluation files of a study.

    Raises:
        ValueError: If no config says what the study is.
    """
    if config is None:
        raise ValueError("there is nothing to summarize: give evaluation files, or --config")
    rules = ("score_savi", "score_predictor")
    return [Path(product.path) for product in products(config) if product.rule in rules]


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
    scores = read_json(path)
    if not isinstance(scores, dict) or not isinstance(scores.get("metrics"), dict):
        raise ValueError(f"{path} holds no scores: it has no metrics")
    names = {**match.groupdict(default=""), "seed": int(match["seed"])}
    names["protocol"] = names["protocol"] or DECOMPOSITION
    return names, scores


def summary_rows(names: dict[str, Any], scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each metric; for a SAVi also rows of the naive segmenters."""
    split = scores.get("split") or scores["protocol"]["split"]
    rows = []
    for metric, entry in scores["metrics"].items():
        baselines = {key: entry.get(key) for key in BASELINES}
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
            for quantity in QUANTITIES
            for bound in BOUNDS
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


if __name__ == "__main__":
    run(main)
