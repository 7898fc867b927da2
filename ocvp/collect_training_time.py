"""Collect what each training took: training_time.csv.

The hours are those of all sessions of a run together. What only the last job knows (its duration
with loading and saving, its peak memory) comes from the workflow's benchmark files; without them
these columns are empty.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ocvp.config.tree import Config
from ocvp.records.contents import TrainingTime
from ocvp.records.records import TRAINING_TIME, Making
from ocvp.runtime.benchmark_files import number, read_benchmark
from ocvp.runtime.files import all_or_none, atomic_path, check_writable
from ocvp.runtime.json_files import read_content
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import run
from ocvp.runtime.table_options import CHAIN, MODEL, names_in, study_of, table_parser
from ocvp.study.products import trained_models

logger = logging.getLogger("ocvp.collect_training_time")

COLUMNS = (
    "dataset",
    "savi",
    "predictor",
    "seed",
    "iterations",
    "epochs",
    "hours",
    "device",
    "last_job_hours",
    "peak_memory_mb",
)
RULES = {"savi.pt": "fit_savi", "predictor.pt": "fit_predictor"}
"""Checkpoint to the rule whose benchmark is that of its training."""
PATH = re.compile(rf"{CHAIN}(savi|(?P<predictor>{MODEL})/predictor)\.pt$")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = table_parser(
        "ocvp.collect_training_time", __doc__, config_help="its study says which models there are"
    )
    parser.add_argument(
        "checkpoints",
        type=Path,
        nargs="*",
        help="trained models, named as the workflow names them (DATASET/SAVI/seedN/savi.pt, "
        ".../PREDICTOR/predictor.pt; default: those that the study of --config trains)",
    )
    parser.add_argument(
        "--logs", type=Path, default=Path("logs"), help="folder of the benchmarks (default: logs)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        nargs="+",
        required=True,
        help="table to write (CSV); with several paths, the same at each",
    )
    args = parser.parse_args(argv)
    start_logging(args.log)
    making = Making("collect_training_time", argv)
    for path in args.output:
        check_writable(path)
    study, written = study_of(args)
    checkpoints = args.checkpoints or models_of_study(study)
    rows = [training_row(path, args.logs) for path in checkpoints]
    making.read({"training_time": [path.parent / TRAINING_TIME for path in checkpoints]})
    with all_or_none(args.output):
        for path in args.output:
            with atomic_path(path) as temporary:
                pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)
            making.finish([path], written)
            logger.info("table: %s", path)
    return 0


def models_of_study(study: Config | None) -> list[Path]:
    """Return the models that a study trains.

    Raises:
        ValueError: If no config says what the study is.
    """
    if study is None:
        raise ValueError("there is nothing to collect: give checkpoints, or --config")
    return [Path(path) for path in trained_models(study)]


def training_row(checkpoint: Path, logs: Path) -> dict[str, Any]:
    """Return the row of one trained model.

    Args:
        checkpoint: Its file; `training_time.json` lies beside it.
        logs: Folder of the benchmarks.

    Raises:
        ValueError: If the file is not named as the workflow names it, or that other one is missing
            or damaged.
    """
    names = names_in(
        checkpoint,
        PATH,
        "holds; expected DATASET/SAVI/seedN/savi.pt or DATASET/SAVI/seedN/PREDICTOR/predictor.pt",
    )
    took = read_content(checkpoint.parent / TRAINING_TIME, TrainingTime)
    device = took.get("device") or {}
    # of the last job alone; a training that was interrupted had several
    benchmark = read_benchmark(logs / checkpoint / f"{RULES[checkpoint.name]}.tsv")
    return {
        **names,
        "iterations": took["steps"],
        "epochs": took.get("epochs"),
        "hours": round(took["seconds"] / 3600, 4),
        "device": device.get("name"),
        "last_job_hours": _scaled(benchmark.get("s"), 1 / 3600),
        "peak_memory_mb": _scaled(benchmark.get("max_rss"), 1),
    }


def _scaled(text: str | None, factor: float) -> float | None:
    value = number(text)
    return None if value is None else round(value * factor, 4)


if __name__ == "__main__":
    run(main)
