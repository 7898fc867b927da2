"""Print the tables of a study, averaged over seeds, and where its figures are.

That is the study which was run last, or a named one, or all that were run in this folder.
"""

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ocvp.config.tree import STUDIES
from ocvp.evaluation.metrics import BASELINES
from ocvp.evaluation.result_tables import all_tables, main_tables
from ocvp.evaluation.table_formats import FORMATS
from ocvp.evaluation.tables import BOUNDS, COMPARISON_COLUMNS, QUANTITIES, SUMMARY_COLUMNS
from ocvp.runtime.files import companion, read_json
from ocvp.runtime.program import run

SUMMARY = "summary.csv"
TABLES = {
    SUMMARY: (SUMMARY_COLUMNS, ("value", *BASELINES)),
    "comparisons.csv": (
        COMPARISON_COLUMNS,
        ("value", *(f"{quantity}_{bound}" for quantity in QUANTITIES for bound in BOUNDS)),
    ),
}
"""The columns of each table, and those that hold numbers."""
MORE = "More columns, gains with intervals, and where figures are: python -m ocvp.show_results"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = argparse.ArgumentParser(prog="python -m ocvp.show_results", description=__doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--study", metavar="NAME", help="the study to show (default: the last one)")
    which.add_argument("--all", action="store_true", help="show all studies")
    parser.add_argument(
        "--brief", action="store_true", help="the main metrics alone (default: all tables)"
    )
    formats = parser.add_mutually_exclusive_group()
    for name, words in {"markdown": "Markdown", "latex": "LaTeX"}.items():
        formats.add_argument(
            f"--{name}",
            action="store_const",
            const=name,
            dest="format",
            default="text",
            help=f"print the tables alone, in {words} (default: text)",
        )
    args = parser.parse_args(argv)
    is_text = args.format == "text"
    for folder in study_folders(args.results, args.study, args.all):
        summary, comparisons = read_tables(folder)
        if is_text and (name := name_of_study(folder)):
            print(f"Study {name}\n")
        tables = main_tables(summary) if args.brief else all_tables(summary, comparisons)
        print("\n".join(map(FORMATS[args.format], tables)))
        if is_text and not args.brief:
            names = ", ".join(path.name for path in sorted(folder.glob("*.csv")))
            print(f"Tables: {folder}/: {names}\n")
    if is_text:
        print(MORE if args.brief else figures_in(args.results))
    return 0


def figures_in(results: Path) -> str:
    """Return in which folders figures are."""
    folders = sorted({path.parent for path in results.glob("**/figures/*provenance.json")})
    return "\n".join(["Figures:", *(f"  {folder}/" for folder in folders)])


def study_folders(results: Path, study: str | None, is_all: bool) -> list[Path]:
    """Return the folders of the tables that are asked for.

    Args:
        results: Where the tables of the last study lie, and the folder of all studies.
        study: The study's name; None: the last one.
        is_all: Whether all studies are asked for.

    Raises:
        ValueError: If there is no such study, naming those that there are.
    """
    known = {path.parent.name: path.parent for path in results.glob(f"{STUDIES}/*/{SUMMARY}")}
    if study is not None and study not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ValueError(f"--study is {study}; the studies in {results / STUDIES} are: {names}")
    if study is not None:
        return [known[study]]
    return [known[name] for name in sorted(known)] if is_all and known else [results]


def name_of_study(folder: Path) -> str:
    """Return whose tables a folder holds; empty where their record does not say."""
    with contextlib.suppress(ValueError, LookupError, TypeError):  # none, or of something else
        return str(read_json(companion(folder / SUMMARY, "config.json"))["name"])
    return ""


def read_tables(results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read both tables of a study.

    Raises:
        ValueError: If they were not made yet, or are damaged.
    """
    summary, comparisons = (_read_table(results / name, *TABLES[name]) for name in TABLES)
    is_best = summary["is_best"].astype(str) == "True"  # of no rows too
    return summary.fillna({"predictor": ""}).assign(is_best=is_best), comparisons


def _read_table(path: Path, columns: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    again = "run `snakemake --cores 1 summarize`"
    if not path.is_file():
        raise ValueError(f"{path} does not exist; {again}")
    try:
        # As text, also where a study has no predictors and all of the column is empty.
        text = {"predictor": str}
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=text)
        return table[list(columns)].astype(dict.fromkeys(numbers, float))
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it and {again}") from None


if __name__ == "__main__":
    run(main)
