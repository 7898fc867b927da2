"""Gather the scores of a study into tables: summary.csv and comparisons.csv.

The first holds every metric of every model beside its baselines, the second compares predictors
with the baselines on the videos in which objects move.
"""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ocvp.config.tree import Config
from ocvp.evaluation.best import mark_best
from ocvp.evaluation.score_files import read_score_file
from ocvp.evaluation.tables import (
    COMPARISON_COLUMNS,
    DECOMPOSITION,
    SUMMARY_COLUMNS,
    comparison_rows,
    summary_rows,
)
from ocvp.records.records import Making
from ocvp.runtime.files import all_or_none, atomic_path, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import run
from ocvp.runtime.table_options import CHAIN, MODEL, NAME, names_in, study_of, table_parser
from ocvp.study.products import products
from ocvp.study.staleness import check_products

logger = logging.getLogger("ocvp.summarize")

PATH = re.compile(
    rf"{CHAIN}((evaluation|probe)|(?P<predictor>{MODEL})/(evaluation|probe)/(?P<protocol>{NAME}))"
    r"\.json$"
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
        help="files of scores, named as the workflow names them "
        "(DATASET/SAVI/seedN/evaluation.json, .../PREDICTOR/evaluation/PROTOCOL.json, and `probe` "
        "for `evaluation`; default: all of the study of --config)",
    )
    for table, about in (("summary", "table of scores"), ("comparisons", "comparisons")):
        parser.add_argument(
            f"--{table}",
            type=Path,
            nargs="+",
            required=True,
            help=f"{about} (CSV); with several paths, the same at each",
        )
    args = parser.parse_args(argv)
    if len(args.summary) != len(args.comparisons):
        parser.error("--summary and --comparisons need as many paths as each other")
    start_logging(args.log)
    making = Making("summarize", argv)
    for path in [*args.summary, *args.comparisons]:
        check_writable(path)
    # --- which scores
    study, written = study_of(args)
    if study is not None:
        check_products(study, only_scored=True)
    scores_of = args.scores or scores_of_study(study)
    found = mark_best([read_scores(path) for path in scores_of])
    # --- both tables, from the same scores
    making.read({"scores": scores_of})
    with all_or_none([*args.summary, *args.comparisons]):
        for summary, comparisons in zip(args.summary, args.comparisons, strict=True):
            write_table(summary, SUMMARY_COLUMNS, summary_rows, found)
            write_table(comparisons, COMPARISON_COLUMNS, comparison_rows, found)
            making.finish([summary, comparisons], written)
            logger.info("tables: %s, %s", summary, comparisons)
    return 0


def write_table(
    path: Path,
    columns: Sequence[str],
    rows_of: Callable[[dict[str, Any], dict[str, Any]], list[dict[str, Any]]],
    found: Sequence[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    """Write a table: the rows of all scores, which are given with the names of what they are of."""
    rows = [row for names, scores in found for row in rows_of(names, scores)]
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(columns)).to_csv(temporary, index=False)


def scores_of_study(config: Config | None) -> list[Path]:
    """Return the files of scores of a study.

    Raises:
        ValueError: If no config says what the study is.
    """
    if config is None:
        raise ValueError("there is nothing to summarize: give evaluation files, or --config")
    rules = ("score_savi", "score_predictor", "probe_savi", "probe_predictor")
    return [Path(product.path) for product in products(config) if product.rule in rules]


def read_scores(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read one evaluation file, and the names of the study's entries from its path.

    Raises:
        ValueError: If the file is missing, damaged, or not named as the workflow names it.
    """
    names = names_in(
        path,
        PATH,
        "scores; expected DATASET/SAVI/seedN/evaluation.json or "
        "DATASET/SAVI/seedN/PREDICTOR/evaluation/PROTOCOL.json, or the same with probe",
    )
    scores = read_score_file(path)
    return names | {"protocol": names["protocol"] or DECOMPOSITION}, scores


if __name__ == "__main__":
    run(main)
