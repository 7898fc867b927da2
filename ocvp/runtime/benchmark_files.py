"""What Snakemake's benchmark files say of a job: how long it took, and the memory it needed."""

import csv
from pathlib import Path


def read_benchmark(path: Path) -> dict[str, str]:
    """Return the last line of a benchmark file by column; nothing where there is none.

    Args:
        path: For example `logs/results/tabletop/savi/seed0/savi.pt/fit_savi.tsv`.
    """
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return rows[-1] if rows else {}


def number(text: str | None) -> float | None:
    """Return a number of such a file; None where it was not measured ("NA", "-") or is missing."""
    try:
        return float(text or "")
    except ValueError:
        return None
