"""Write docs/results.md: the tables of a finished study of several seeds, and what in them is sure.

`make results` runs the study (config/studies/results.yaml), then this. The page is made as a whole:
its words are in results_page.md beside this program, its numbers in `results/`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import pandas as pd
from differences import (
    CONTACTS,
    LONG,
    TRANSFORMER,
    VELOCITY,
    Difference,
    Scores,
    cells_of,
    differences,
    verdicts_of,
)

from ocvp.config.tree import STUDIES
from ocvp.evaluation.metrics import METRICS, PROBED
from ocvp.evaluation.result_tables import all_tables, main_tables
from ocvp.evaluation.score_files import read_predictor_scores
from ocvp.evaluation.table_formats import Table, as_markdown
from ocvp.evaluation.tables import DECOMPOSITION, NAMES
from ocvp.runtime.files import atomic_path
from ocvp.runtime.program import program_parser, run
from ocvp.show_results import read_tables

WORDS = Path(__file__).with_suffix(".md")
OPPONENTS = (VELOCITY, TRANSFORMER)
PROBE = "linear"


class Study(NamedTuple):
    """What is read of a finished study on one data set."""

    summary: pd.DataFrame
    comparisons: pd.DataFrame
    times: pd.DataFrame
    """Rows of training_time.csv."""
    scores: Scores

    @property
    def savis(self) -> list[str]:
        """Names of its SAVis."""
        return list(dict.fromkeys(savi for savi, _, _ in self.scores))

    @property
    def files(self) -> list[dict[str, Any]]:
        """Content of all files of scores."""
        return [scores for of_seeds in self.scores.values() for scores in of_seeds.values()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = program_parser(__doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)"
    )
    parser.add_argument("--study", default="results", help="name of the study (default: results)")
    parser.add_argument(
        "--cores", type=int, default=2, help="cores that it was run on, for the page (default: 2)"
    )
    page = Path("docs/results.md")
    parser.add_argument("--output", type=Path, default=page, help=f"file (default: {page})")
    args = parser.parse_args(argv)
    text = page_of(read_study(args.results, args.study), args.cores)
    with atomic_path(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def read_study(results: Path, name: str) -> Study:
    """Read the tables of a study, and the scores of its predictors.

    Raises:
        ValueError: If one was not made yet, or is damaged.
    """
    folder = results / STUDIES / name
    summary, comparisons = read_tables(folder)
    times = pd.read_csv(folder / "training_time.csv", dtype={"predictor": str})
    return Study(summary, comparisons, times, read_scores(results, summary))


def read_scores(results: Path, summary: pd.DataFrame) -> Scores:
    """Read the files of scores of all predictors in a table."""
    scores: dict[Any, dict[int, Any]] = defaultdict(dict)
    predictions = summary[summary["predictor"] != ""].drop_duplicates(list(NAMES))
    for (savi, protocol), rows in predictions.groupby(["savi", "protocol"], sort=False):
        for row in rows.to_dict("records"):
            folder = results / row["dataset"] / savi / f"seed{row['seed']}" / row["predictor"]
            file = read_predictor_scores(folder / f"evaluation/{protocol}.json")
            scores[savi, protocol, row["predictor"]][row["seed"]] = file
    return scores


def page_of(study: Study, cores: int) -> str:
    """Return the page of a study that was run on some cores."""
    found = list(differences(study.scores, study.comparisons))
    tables = {
        "decomposition": main_tables(rows_of(study.summary, protocol=DECOMPOSITION))[:1],
        "predictions": predictions_of(study),
        "differences": [differences_of(found)],
        "contacts": [contacts_of(study, found)],
        "probes": [probes_of(study)],
    }
    words = {
        "seeds": ", ".join(map(str, sorted(study.summary["seed"].unique()))),
        "num_videos": study.files[0]["num_videos"],
        "protocols": ", ".join(protocols_of(study.scores)),
        "cores": cores,
        "machine": machine_of(study.files),
        "times": times_of(study.times),
        "verdicts": "\n".join(verdicts_of(found)),
        "num_intervals": len(found),
        "by_chance": f"{len(found) / 20:.0f}",
        "counts": counts_of(study.scores),
        "metrics": "\n".join(meanings_of(study.summary)),
    }
    page = Template(WORDS.read_text(encoding="utf-8"))
    return page.substitute(words, **{name: _as_text(of) for name, of in tables.items()})


def _as_text(tables: Iterable[Table]) -> str:
    """Return tables in Markdown without their notes, which the page has once."""
    return "\n".join(as_markdown(table._replace(notes=())) for table in tables).strip()


# --- tables --------------------------------------------------------------------------------------


def rows_of(summary: pd.DataFrame, **names: str) -> pd.DataFrame:
    """Return the rows that have these values in columns of these names."""
    return summary[(summary[list(names)] == pd.Series(names)).all(axis=1)]


def stacked(title: str, label: str, parts: Mapping[str, Table]) -> Table:
    """Return tables of the same columns as one, in whose first column their names stand.

    Raises:
        ValueError: If their columns differ.
    """
    first, *others = parts.values()
    for other in others:
        if other.columns != first.columns:
            raise ValueError(f"{title}: columns {other.columns}, expected {first.columns}")
    rows = [[name, *row] for name, table in parts.items() for row in table.rows]
    return first._replace(title=title, labels=[label, *first.labels], rows=rows)


def predictions_of(study: Study) -> list[Table]:
    """Return a table for each SAVi: models by the main metrics, under each protocol."""
    tables = []
    for savi in study.savis:
        protocols = dict.fromkeys(protocol for name, protocol, _ in study.scores if name == savi)
        parts = {
            protocol: main_tables(rows_of(study.summary, savi=savi, protocol=protocol))[0]
            for protocol in protocols
        }
        tables.append(stacked(f"Prediction with `{savi}`", "protocol", parts))
    return tables


def differences_of(found: Sequence[Difference]) -> Table:
    """Return the differences of all objects, a row for each predictor."""
    columns = list(product(OPPONENTS, ("centre_error", "miou")))
    rows = [
        [*row, *cells_of(found, row, columns)] for row in dict.fromkeys(each.row for each in found)
    ]
    labels = ["savi", "protocol", "predictor"]
    headings = [f"{metric}, over {opponent}" for opponent, metric in columns]
    return Table("Better by: mean over seeds [95 % interval]", labels, headings, rows)


def contacts_of(study: Study, found: Sequence[Difference]) -> Table:
    """Return the centre errors of objects that met another one, and of those that did not."""
    title = f"Centre error, protocol `{LONG}`"
    table = _by_savi(title, study, study.summary["metric"].isin(CONTACTS))
    columns = list(product(OPPONENTS, CONTACTS))
    rows = [[*row, *cells_of(found, (row[0], LONG, row[1]), columns)] for row in table.rows]
    headings = [
        *("after contact ↓", "without contact ↓"),
        *(f"{when}, over {opponent}" for opponent in OPPONENTS for when in ("after", "without")),
    ]
    return table._replace(columns=headings, rows=rows)


def probes_of(study: Study) -> Table:
    """Return what linear probes read off predicted slots."""
    metrics = study.summary["metric"]
    is_shown = metrics.str.startswith(PROBED) & metrics.str.endswith(f"_{PROBE}")
    table = _by_savi(f"What probes read, protocol `{LONG}`", study, is_shown)
    rows = [[cell.removesuffix(f", {PROBE}") for cell in row] for row in table.rows]
    return table._replace(rows=rows)


def _by_savi(title: str, study: Study, is_shown: pd.Series) -> Table:
    shown = study.summary[is_shown]
    none = study.comparisons.iloc[:0]
    parts = {
        savi: all_tables(rows_of(shown, savi=savi, protocol=LONG), none)[0] for savi in study.savis
    }
    return stacked(title, "savi", parts)


# --- words ---------------------------------------------------------------------------------------


def machine_of(files: Iterable[Mapping[str, Any]]) -> str:
    """Return on which processors and with which torch models were scored."""
    made_by = [scores["made_by"] for scores in files]
    found = {f"{made['device']['name']}, torch {made['versions']['torch']}" for made in made_by}
    return "; ".join(sorted(found))


def times_of(times: pd.DataFrame) -> str:
    """Return how long trainings took: of each SAVi and each kind of predictor, and of all."""
    models = times["predictor"].where(times["predictor"].notna(), times["savi"])
    hours = times.groupby(models, sort=False)["hours"]
    minutes = [f"`{model}` {60 * mean:.1f}" for model, mean in hours.mean().items()]
    return f"{', '.join(minutes)}; {len(times)} trainings, {times['hours'].sum():.1f} hours in all"


def protocols_of(scores: Scores) -> Iterator[str]:
    """Yield how many frames each protocol predicts, of how many."""
    windows = {row[1]: file["protocol"] for row, of in scores.items() for file in of.values()}
    for name, window in windows.items():
        yield f"`{name}` predicts {window['num_preds']} frames after {window['num_context']}"


def counts_of(scores: Scores) -> str:
    """Return how many objects met another one, in how many videos; over SAVis and seeds a range."""
    files = [file for row, of in scores.items() if row[1] == LONG for file in of.values()]
    metrics = [file["metrics"] for file in files]
    objects, all_objects, videos = (
        sorted({metric[name][count] for metric in metrics})
        for name, count in (
            (CONTACTS[0], "num_objects"),
            ("centre_error", "num_objects"),
            (CONTACTS[0], "num_videos"),
        )
    )
    return f"{_range(objects)} of {_range(all_objects)} objects, in {_range(videos)} videos"


def _range(values: Sequence[int]) -> str:
    return " to ".join(map(str, dict.fromkeys([values[0], values[-1]])))


def meanings_of(summary: pd.DataFrame) -> Iterable[str]:
    """Yield what each column of the tables is."""
    scored = set(summary.dropna(subset=["value"])["metric"])
    for name, metric in METRICS.items():
        if name in scored and (metric.is_main or name in CONTACTS):
            yield f"- `{name}` {metric.arrow}: {metric.meaning}"


if __name__ == "__main__":
    run(main)
