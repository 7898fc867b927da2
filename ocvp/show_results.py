"""Print the tables of a study, averaged over seeds, and where its figures are."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ocvp.evaluation.metrics import BASELINES
from ocvp.evaluation.result_tables import all_tables, main_tables
from ocvp.evaluation.table_formats import FORMATS
from ocvp.evaluation.tables import BOUNDS, COMPARISON_COLUMNS, QUANTITIES, SUMMARY_COLUMNS
from ocvp.runtime.program import run

TABLES = {
    "summary.csv": (SUMMARY_COLUMNS, ("value", *BASELINES)),
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
    parser.add_argument(
        "--brief", action="store_true", help="the main metrics alone (default: all tables)"
    )
    formats = parser.add_mutually_exclusive_group()
    for name in ("markdown", "latex"):
        formats.add_argument(
            f"--{name}",
            action="store_const",
            const=name,
            dest="format",
            default="text",
            help=f"print the tables alone, in {name.title()} (default: text)",
        )
    args = parser.parse_args(argv)
    summary, comparisons = read_tables(args.results)
    tables = main_tables(summary) if args.brief else all_tables(summary, comparisons)
    print("\n".join(map(FORMATS[args.format], tables)))
    if args.format == "text":
        print(f"\n{MORE}" if args.brief else where(args.results))
    return 0


def where(results: Path) -> str:
    """Return where tables and figures are."""
    tables = ", ".join(path.name for path in sorted(results.glob("*.csv")))
    folders = sorted({path.parent for path in results.glob("**/figures/*.png")})
    figures = [f"  {folder}/" for folder in folders]
    return "\n".join([f"Tables: {results}/: {tables}", "Figures:", *figures])


def read_tables(results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read both tables of a study.

    Raises:
        ValueError: If they were not made yet, or are damaged.
    """
    summary, comparisons = (_read_table(results / name, *TABLES[name]) for name in TABLES)
    return summary.fillna({"predictor": "", "is_best": False}), comparisons


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
