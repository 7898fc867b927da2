"""How much better a predictor is than constant velocity, or than the Transformer, over seeds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from seed_intervals import interval_over_seeds

from ocvp.evaluation.intervals import Interval, mean_interval
from ocvp.evaluation.metrics import METRICS
from ocvp.evaluation.table_formats import MARK, MISSING
from ocvp.evaluation.tables import BOUNDS

VELOCITY, TRANSFORMER = "constant_velocity", "transformer"
CONTACTS = ("centre_error_after_contact", "centre_error_without_contact")
DECIMALS = {"centre_error": 2, "miou": 3, **dict.fromkeys(CONTACTS, 2)}
"""The metrics by which predictors are compared, with the decimals that are shown."""
LONG = "long"
"""The protocol under which contacts are compared: in more frames more objects meet."""
INSIGNIFICANT = "not significant"
VERDICTS = ("better", "worse", INSIGNIFICANT)

Row = tuple[str, str, str]
"""SAVi, protocol, predictor."""
Column = tuple[str, str]
"""What a predictor is compared with, and the metric."""
Scores = Mapping[Row, Mapping[int, dict[str, Any]]]
"""Content of each file of scores, by seed."""


class Difference(NamedTuple):
    """A difference over all seeds; positive is better."""

    row: Row
    column: Column
    interval: Interval

    @property
    def verdict(self) -> str:
        """Whether it is surely better or worse; empty where there is no interval."""
        low, high = self.interval["low"], self.interval["high"]
        if low is None or high is None:
            return ""
        return "better" if low > 0 else "worse" if high < 0 else INSIGNIFICANT

    @property
    def cell(self) -> str:
        """The mean with its interval, marked where that is significant."""
        digits = DECIMALS[self.column[1]]
        mean, low, high = self.interval["mean"], self.interval["low"], self.interval["high"]
        if not self.verdict:
            return f"{mean:+.{digits}f} {MISSING}"
        text = f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
        return f"{text} n.s." if self.verdict == INSIGNIFICANT else text + MARK


def differences(scores: Scores, comparisons: pd.DataFrame) -> Iterator[Difference]:
    """Yield what each predictor of a study is compared with.

    Args:
        scores: Of all predictors, each with the same seeds.
        comparisons: The study's table, rows of `COMPARISON_COLUMNS`: it holds the intervals of the
            gains over constant velocity. Those over the Transformer are of `per_video` in `scores`.
    """
    for row, metric in product(scores, DECIMALS):
        if metric in CONTACTS and row[1] != LONG:
            continue
        found = _over_velocity(comparisons, row, metric)
        yield Difference(row, (VELOCITY, metric), interval_over_seeds(found))
        if row[2] != TRANSFORMER:
            own, others = scores[row], scores[*row[:2], TRANSFORMER]
            found = [_over(own[seed], others[seed], metric) for seed in own]
            yield Difference(row, (TRANSFORMER, metric), interval_over_seeds(found))


def _over_velocity(table: pd.DataFrame, row: Row, metric: str) -> list[Interval]:
    """Return the gain over constant velocity of each seed."""
    keys = ["savi", "protocol", "predictor", "metric"]
    rows = table[(table[keys] == [*row, metric]).all(axis=1)]
    bounds = rows[[f"gain_over_constant_velocity_{bound}" for bound in BOUNDS]].to_numpy(float)
    return [
        {"mean": mean, "low": _known(low), "high": _known(high)}
        for mean, low, high in bounds.tolist()
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _over(own: dict[str, Any], other: dict[str, Any], metric: str) -> Interval:
    """Return how much better one predictor is than another on the same videos."""
    sign = -1.0 if METRICS[metric].lower_is_better else 1.0
    values, others = (np.array(file["per_video"][metric], np.float64) for file in (own, other))
    return mean_interval(sign * (values - others))


def cells_of(found: Iterable[Difference], row: Row, columns: Iterable[Column]) -> list[str]:
    """Return the cells of one row, for each column."""
    cells = {difference.column: difference.cell for difference in found if difference.row == row}
    return [cells.get(column, MISSING) for column in columns]


def verdicts_of(found: Sequence[Difference]) -> Iterator[str]:
    """Yield a line for each column: in how many rows it is better, worse or neither."""
    for opponent, metric in product((VELOCITY, TRANSFORMER), DECIMALS):
        verdicts = [d.verdict for d in found if d.column == (opponent, metric)]
        kinds = [*VERDICTS, *([""] if "" in verdicts else [])]
        counts = ", ".join(f"{kind or 'no interval'} in {verdicts.count(kind)}" for kind in kinds)
        yield f"- `{metric}`, over `{opponent}`: {counts} of {len(verdicts)}"
