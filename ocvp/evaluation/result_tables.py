"""The tables that people read, of the tables of a study: means over seeds, with their deviation."""

import math
from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from ocvp.evaluation.metrics import BASELINES, CONSTANT, METRICS, NAIVE_SEGMENTERS, PROBED
from ocvp.evaluation.table_formats import MARK, MISSING, Table
from ocvp.evaluation.tables import BOUNDS, NAMES

CHAIN = ["dataset", "savi", "protocol", "split"]
"""What the predictors of one table have in common."""
DIGITS = 4
"""Of the largest number of a column; the others have as many decimals."""
BEST = (
    f"{MARK} surely better than each other trained model of the table, in each seed: the 95 % "
    "interval of the paired difference over videos lies above 0"
)
OUR_ROWS = {**BASELINES, **NAIVE_SEGMENTERS}
GAINS = {
    "num_videos": ("videos", "in which objects move, and the metric is defined"),
    "gap_closed": (
        "gap closed",
        f"mean gain over copies, as a share of the ceiling's; {MARK} surely more than half",
    ),
    "gain": ("over copies", "better than copy_last_slots by"),
    "gain_over_constant_velocity": ("over constant velocity", "better than that by"),
}
"""What is printed of a comparison: its heading, and what it is."""


def main_tables(summary: pd.DataFrame) -> list[Table]:
    """Return the scores of all models by the main metrics alone (arguments as `all_tables`'s)."""
    names = [name for name, metric in METRICS.items() if metric.is_main]
    scored = summary[summary["metric"].isin(names)]
    return _with_notes(_score_tables(scored), scored, baselines={})


def all_tables(summary: pd.DataFrame, comparisons: pd.DataFrame) -> list[Table]:
    """Return all tables of a study.

    Args:
        summary: Rows of `SUMMARY_COLUMNS`; `predictor` is empty for a SAVi by itself.
        comparisons: Rows of `COMPARISON_COLUMNS`.
    """
    is_probe = summary["metric"].str.startswith(PROBED)
    scored = summary[~is_probe]
    return [
        *_with_notes(_score_tables(scored), scored),
        *_gain_tables(comparisons),
        *_probe_tables(summary[is_probe]),
    ]


# --- scores -------------------------------------------------------------------------------------


def _score_tables(rows: pd.DataFrame) -> Iterator[Table]:
    for title, model, group in _groups(rows, "Decomposition of {}", "Prediction on {}"):
        yield _pivot(f"{title}, {_over_seeds(group)}", group, model)


def _groups(
    rows: pd.DataFrame, of_savi: str, of_predictor: str
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield title, column of the models, and rows of each table that has any value."""
    is_savi = rows["predictor"] == ""
    # each SAVi of a data set has the same naive segmenters beside it, as long as slots are as many
    alone = rows[is_savi].drop_duplicates([*NAMES, "metric", "value"])
    for (dataset, split), group in alone.groupby(["dataset", "split"], sort=False):
        if group["value"].notna().any():
            yield of_savi.format(f"{dataset} ({split})"), "savi", group
    for (dataset, savi, protocol, split), group in rows[~is_savi].groupby(CHAIN, sort=False):
        group = _with_baselines(group)
        if group["value"].notna().any():
            about = f"{dataset} ({split}) with {savi}, protocol {protocol}"
            yield of_predictor.format(about), "predictor", group


def _with_baselines(group: pd.DataFrame) -> pd.DataFrame:
    """Append the baselines, the same for all predictors, as rows of their own."""
    rows = group.drop_duplicates(["metric", "seed"]).assign(is_best=False)  # any predictor's do
    baselines = [rows.assign(predictor=name, value=rows[name]) for name in BASELINES]
    return pd.concat([group, *baselines])


def _over_seeds(rows: pd.DataFrame) -> str:
    seeds = sorted(rows["seed"].unique())
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean ± standard deviation over {len(seeds)} seeds"


def _pivot(title: str, rows: pd.DataFrame, model: str) -> Table:
    """Return metrics as columns and models as rows."""
    rows = rows.dropna(subset=["value"])
    models, metrics = rows[model].unique(), rows["metric"].unique()
    cells = {metric: _column(rows[rows["metric"] == metric], model) for metric in metrics}
    headings = [_heading(metric) for metric in metrics]
    lines = [[name, *(cells[metric].get(name, MISSING) for metric in metrics)] for name in models]
    return Table(title, [model], headings, lines)


def _heading(metric: str) -> str:
    return f"{metric} {METRICS[metric].arrow}" if metric in METRICS else metric


def _column(rows: pd.DataFrame, model: str) -> dict[str, str]:
    """Return the cells of one metric by model, all with the same number of decimals."""
    values = rows.groupby(model)["value"]
    largest = values.mean().abs().max()
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(largest))) if largest else DIGITS - 1
    cells = {}
    for name, own in rows.groupby(model):
        cell = f"{own['value'].mean():.{decimals}f}"
        if len(own) > 1:
            cell += f" ± {own['value'].std():.{decimals}f}"
        cells[str(name)] = cell + MARK * bool(own["is_best"].all())
    return cells


def _with_notes(
    tables: Iterable[Table], scored: pd.DataFrame, baselines: Mapping[str, str] = OUR_ROWS
) -> list[Table]:
    """Explain under the last table each column of all, and each row of `baselines`, once."""
    found = list(tables)
    if not found:
        return []
    cells = [cell for table in found for row in table.rows for cell in row]
    rows = [row[0] for table in found for row in table.rows]
    headings = {heading for table in found for heading in table.columns}
    columns = {_heading(name): metric.meaning for name, metric in METRICS.items()}
    notes = [
        *_explained({name: text for name, text in columns.items() if name in headings}),
        *_explained({name: text for name, text in baselines.items() if name in rows}),
        *([BEST] if any(cell.endswith(MARK) for cell in cells) else []),
        *_reasons(scored),
    ]
    return [*found[:-1], found[-1]._replace(notes=tuple(notes))]


def _explained(texts: dict[str, str]) -> list[str]:
    width = max(map(len, texts), default=0)
    return [f"{name:{width}}  {text}" for name, text in texts.items()]


def _reasons(scored: pd.DataFrame) -> list[str]:
    """Return why metrics have no value in any table, a line for each reason."""
    has_value = scored.groupby("metric")["value"].transform(lambda values: values.notna().any())
    missing = scored[~has_value].dropna(subset=["reason"])
    return [
        f"not scored: {', '.join(rows['metric'].unique())}: {reason}"
        for reason, rows in missing.groupby("reason", sort=False)
    ]


# --- gains --------------------------------------------------------------------------------------


def _gain_tables(comparisons: pd.DataFrame) -> list[Table]:
    tables = []
    for (dataset, savi, protocol, split), group in comparisons.groupby(CHAIN, sort=False):
        title = (
            f"Gains on {dataset} ({split}) with {savi}, protocol {protocol}: "
            "mean over videos [95 % interval]"
        )
        tables.append(_gains(title, group))
    if tables:
        explained = _explained(dict(GAINS.values()))
        tables[-1] = tables[-1]._replace(notes=(*explained, *tables[-1].notes))
    return tables


def _gains(title: str, rows: pd.DataFrame) -> Table:
    """Return gains of each predictor, and under them why some are not there."""
    labels = ["predictor", "seed", "metric"]
    if rows["seed"].nunique() == 1:
        labels.remove("seed")
    cells = rows.assign(
        num_videos=rows["num_videos"].astype(str),
        gap_closed=list(map(_share, rows["gap_closed"], rows["beyond_half_gap_low"])),
        **{quantity: _intervals(rows, quantity) for quantity in list(GAINS)[2:]},
    )
    cells["metric"] = cells["metric"].map(_heading)
    reasons = dict.fromkeys("; ".join(rows["reason"].dropna()).split("; "))  # each once
    notes = (f"{MISSING} {'; '.join(reasons)}",) if any(reasons) else ()
    table = cells[[*labels, *GAINS]].astype(str).to_numpy().tolist()
    return Table(title, labels, [heading for heading, _ in GAINS.values()], table, notes)


def _share(share: float, beyond_half: float) -> str:
    """Return a share of the gap as text, marked where it is surely more than half."""
    return MISSING if pd.isna(share) else f"{share:.0%}{MARK * bool(beyond_half > 0)}"


def _intervals(rows: pd.DataFrame, quantity: str) -> list[str]:
    bounds = rows[[f"{quantity}_{bound}" for bound in BOUNDS]]
    return [_interval(*values) for values in bounds.itertuples(index=False)]


def _interval(mean: float, low: float, high: float) -> str:
    """Return a mean and its interval as text."""
    if pd.isna(mean):
        return MISSING
    return f"{mean:.2g} {MISSING}" if pd.isna(low) else f"{mean:.2g} [{low:.2g}, {high:.2g}]"


# --- probes -------------------------------------------------------------------------------------


def _probe_tables(rows: pd.DataFrame) -> Iterator[Table]:
    for title, model, group in _groups(
        rows, "What probes read off slots of {}", "What probes read off predicted slots of {}"
    ):
        table = _pivot(f"{title}, {_over_seeds(group)}", _by_probe(group, model), model)
        yield table._replace(notes=("R² of numbers, accuracy of classes ↑",))


def _by_probe(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return rows whose metric is the target, and whose model is named with the probe."""
    names = rows["metric"].str.removeprefix(PROBED).str.rpartition("_")  # target, _, probe
    named = rows[model].where(rows[model] == CONSTANT, rows[model] + ", " + names[2])
    rows = rows.assign(**{"metric": names[0], model: named})
    # the constant stands beside each probe, the same; once and last
    rows = rows.drop_duplicates([*NAMES, "metric"])
    return rows.sort_values(model, key=lambda names: names == CONSTANT, kind="stable")
