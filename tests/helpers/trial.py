"""The trial of docs/own_videos.md: its commands, word by word, on films made for it.

    make trial            (about half an hour on 2 quiet cores)

Ends with the figures that the page promises, each beside its limit, and with status 1 if one is
missed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_runs import PROJECT, copy_project

PAGE = "docs/own_videos.md"
FILMS = "tests/helpers/disc_films.py"
SCORES = "results/scored/found/seed0"
GAINS = {"copied slots": "gain", "constant velocity": "gain_over_constant_velocity"}


class Figure(NamedTuple):
    """A figure, and what it must be above."""

    name: str
    value: float
    limit: float

    def __str__(self) -> str:
        verdict = "" if self.is_met else "   MISSED"
        return f"{self.name:58} {self.value:8.3f}   above {self.limit:g}{verdict}"

    @property
    def is_met(self) -> bool:
        """Whether it is large enough."""
        return self.value > self.limit


def blocks(language: str, page: str | None = None) -> list[str]:
    """Return the blocks of code of the page that are in a language."""
    text = page or (PROJECT / PAGE).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Return the page's commands."""
    return [line for block in blocks("sh") for line in block.splitlines()]


def run_page(folder: Path, further: Mapping[str, str]) -> None:
    """Run the page's commands in a new copy of the project.

    Args:
        folder: The copy, which is made.
        further: Options to append to commands that hold a text.

    Raises:
        CalledProcessError: If one fails.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    copy_project(folder)
    (folder / FILMS).parent.mkdir(parents=True)
    shutil.copy2(PROJECT / FILMS, folder / FILMS)
    (config,) = (block for block in blocks("yaml") if "scored:" in block)
    (folder / "config/scored.yaml").write_text(config, encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for command in commands():
        options = [option for text, option in further.items() if text in command]
        command = " ".join([command, *options])
        print(f"$ {command}", flush=True)
        subprocess.run(
            command, shell=True, cwd=folder, check=True, env=environment | {"PATH": path}
        )


def decomposition(folder: Path, metric: str, limit: float) -> Figure:
    """Return how well slots fit the truth that no training saw."""
    scores = read(folder / SCORES / "evaluation.json")["metrics"]
    return Figure(metric, scores[metric]["mean"], limit)


def rollout(folder: Path) -> list[Figure]:
    """Return by how much the rollout is better than its baselines: the intervals' lower ends."""
    compared = read(folder / SCORES / "rolled_out/evaluation/scored_8_to_8.json")["comparisons"]
    figures = []
    for metric in ("slot_mse", "miou"):
        for baseline, key in GAINS.items():
            low = compared[metric][key]["low"]  # None for too few videos
            name = f"gain in {metric} over {baseline}, low end"
            figures.append(Figure(name, float("nan") if low is None else low, 0))
    return figures


def read(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trial; see the module's head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    args = parser.parse_args(argv)
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="ocvp-trial-"))) / "project"
    start = time.monotonic()
    run_page(folder, {})
    figures = [decomposition(folder, "fg_ari_clip", 0.75), *rollout(folder)]
    print(f"\nThe trial in {folder} took {(time.monotonic() - start) / 60:.0f} minutes.")
    print(*figures, sep="\n")
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
