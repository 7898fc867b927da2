"""Print the tables of a study, averaged over seeds, and where its figures are.

That is the study which was run last, or a named one, or all that were run in this folder.
"""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from ocvp.config.tree import STUDIES
from ocvp.evaluation.metrics import BASELINES, CONSTANT, PROBED
from ocvp.evaluation.tables import (
    BOUNDS,
    COMPARISON_COLUMNS,
    NAMES,
    QUANTITIES,
    SUMMARY_COLUMNS,
)
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
CHAIN = ["dataset", "savi", "protocol", "split"]
"""What the predictors of one table have in common."""
WIDTH = 110
"""Characters of a line; the columns of a wider table go on below."""
SHOWN = {
    "num_videos": "videos",
    "gap_closed": "gap_closed",
    "gain": "over_copy_last_slots",
    "gain_over_constant_velocity": "over_constant_velocity",
    "beyond_half_gap": "beyond_half_gap",
}
"""What is printed of a comparison, and under which name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = argparse.ArgumentParser(prog="python -m ocvp.show_results", description=__doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--study", metavar="NAME", help="the study to show (default: the last one)")
    which.add_argument("--all", action="store_true", help="show all studies")
    args = parser.parse_args(argv)
    for folder in study_folders(args.results, args.study, args.all):
        summary, comparisons = read_tables(folder)
        if name := name_of_study(folder):
            print(f"Study {name}\n")
        print(render(summary, comparisons))
        print("\nTables: " + ", ".join(map(str, sorted(folder.glob("*.csv")))) + "\n")
    folders = sorted({path.parent for path in args.results.glob("**/figures/*.png")})
    print("Figures:\n" + "\n".join(f"  {folder}/" for folder in folders))
    return 0


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
    return summary.fillna({"predictor": ""}), comparisons


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


def render(summary: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """Return the tables as text for a terminal: means over seeds, with their deviation."""
    is_probe = summary["metric"].str.startswith(PROBED)
    scored, probed = summary[~is_probe], summary[is_probe]
    parts = []
    models = set()
    for title, model, group in _groups(
        scored, "Decomposition of {}, mean over seeds\n", "\nPrediction on {}\n"
    ):
        parts += [title, _pivot(group, model)]
        models.add(model)
    if "predictor" in models:
        parts.append("\nceiling: SAVi's own slots of the true future, decoded; it is no bound")
    for (dataset, savi, protocol, split), group in comparisons.groupby(CHAIN, sort=False):
        parts.append(
            f"\nGains on {dataset} ({split}) with {savi}, protocol {protocol}, on the videos in "
            "which objects move:\nmean over videos and its 95 % interval\n"
        )
        parts.append(_compare(group))
    read = list(_groups(probed, "\nSlots of {}\n", "\nPredicted slots of {}\n"))
    if read:
        parts.append(
            "\nWhat probes read off slots: R2 of numbers, accuracy of classes; mean over seeds"
        )
    for title, model, group in read:
        parts += [title, _pivot(_by_probe(group, model), model)]
    return "\n".join(parts)


def _groups(
    rows: pd.DataFrame, of_savi: str, of_predictor: str
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield title, column of the models, and rows of each table that has any value."""
    is_savi = rows["predictor"] == ""
    for (dataset, split), group in rows[is_savi].groupby(["dataset", "split"], sort=False):
        if group["value"].notna().any():
            yield of_savi.format(f"{dataset} ({split})"), "savi", group
    for (dataset, savi, protocol, split), group in rows[~is_savi].groupby(CHAIN, sort=False):
        group = _with_baselines(group)
        if group["value"].notna().any():
            about = f"{dataset} ({split}) with {savi}, protocol {protocol}"
            yield of_predictor.format(about), "predictor", group


def _by_probe(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return rows whose metric is the target, and whose model is named with the probe."""
    names = rows["metric"].str.removeprefix(PROBED).str.rpartition("_")  # target, _, probe
    named = rows[model].where(rows[model] == CONSTANT, rows[model] + ", " + names[2])
    rows = rows.assign(**{"metric": names[0], model: named})
    # the constant stands beside each probe, the same; once and last
    rows = rows.drop_duplicates([*NAMES, "metric"])
    return rows.sort_values(model, key=lambda names: names == CONSTANT, kind="stable")


def _with_baselines(group: pd.DataFrame) -> pd.DataFrame:
    """Append the baselines, the same for all predictors, as rows of their own."""
    rows = group.drop_duplicates(["metric", "seed"])  # any predictor's will do
    baselines = [rows.assign(predictor=name, value=rows[name]) for name in BASELINES]
    return pd.concat([group, *baselines])


def _pivot(rows: pd.DataFrame, index: str) -> str:
    """Return metrics as columns and models as rows; mean ± standard deviation over seeds."""
    rows = rows.assign(value=pd.to_numeric(rows["value"])).dropna(subset=["value"])
    several = rows["seed"].nunique() > 1
    cells = rows.groupby([index, "metric"])["value"].agg(_cell, several=several)
    table = cells.unstack(fill_value="-").reindex(
        index=rows[index].unique(), columns=rows["metric"].unique()
    )
    return table.rename_axis(index=None, columns=None).to_string(line_width=WIDTH)


def _cell(values: pd.Series, several: bool) -> str:
    text = f"{values.mean():.4g}"
    return f"{text} ± {values.std():.2g}" if several and len(values) > 1 else text


def _compare(comparisons: pd.DataFrame) -> str:
    """Return gains as text, and under them why some are not there."""
    closed = ["-" if pd.isna(share) else f"{share:.0%}" for share in comparisons["gap_closed"]]
    table = comparisons.assign(gap_closed=closed)
    for quantity in QUANTITIES:
        bounds = comparisons[[f"{quantity}_{bound}" for bound in BOUNDS]]
        table[quantity] = [_interval(*values) for values in bounds.itertuples(index=False)]
    table = table[["predictor", "seed", "metric", *SHOWN]].rename(columns=SHOWN)
    if table["seed"].nunique() == 1:
        table = table.drop(columns="seed")
    reasons = dict.fromkeys("; ".join(comparisons["reason"].dropna()).split("; "))  # each once
    notes = [f"-: {'; '.join(reasons)}"] if any(reasons) else []
    return "\n".join([table.to_string(index=False), *notes])


def _interval(mean: float, low: float, high: float) -> str:
    """Return a mean and its interval as text, - for what is not there."""
    if pd.isna(mean):
        return "-"
    return f"{mean:.2g} -" if pd.isna(low) else f"{mean:.2g} [{low:.2g}, {high:.2g}]"


if __name__ == "__main__":
    run(main)
