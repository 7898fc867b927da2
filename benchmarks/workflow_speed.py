"""Measure how long Snakemake takes to read the workflow and to find out what there is to do.

    python benchmarks/workflow_speed.py [--jobs N] [--rounds N] [--nothing-built]

A study of about N jobs is made up: three data sets, two SAVis, four predictors, two protocols, and
as many seeds as it takes. Each measurement is a process of its own, as on the command line: reading
the rules (`snakemake --list-rules`), a dry run before anything is built, and a dry run after all is
built. In between, all jobs run once, with programs that do nothing but write what they are asked
for, so that Snakemake's records are those of a real run. CPU seconds are user and system time
together. Each figure is the least of several rounds: what else the machine does can only add to it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PROJECT = Path(__file__).resolve().parents[1]

NUM_DATASETS, NUM_SAVIS, NUM_PREDICTORS, NUM_PROTOCOLS = 3, 2, 4, 2
# A chunk and a file for each split; training, scores, a picture, three files of slots, curves;
# training, scores and rollouts of each predictor.
JOBS_PER_DATASET = 2 * 3
JOBS_PER_CHAIN = 6 + NUM_PROTOCOLS + NUM_PREDICTORS * (1 + 2 * NUM_PROTOCOLS)

STUB = """#!/bin/sh
for argument; do
    case $argument in results/*) [ -e "$argument" ] || echo "$argument" > "$argument" ;; esac
done
"""
# The workflow lets jobs run the interpreter that runs it; here that is the stub.
RUN_WITH_STUB = "import sys; sys.executable = sys.argv.pop(1); import snakemake.cli as c; c.main()"


class Taken(NamedTuple):
    """What a process took, in seconds, and what it printed."""

    wall: float
    cpu: float
    text: str


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; see the module's head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of the study, at least")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each figure")
    parser.add_argument(
        "--nothing-built", action="store_true", help="leave out what needs all jobs to have run"
    )
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "study.yaml"
        config.write_text(yaml.safe_dump(study(args.jobs)), encoding="utf-8")
        snakemake = [sys.executable, "-m", "snakemake", *options(config, folder)]
        reading = least([*snakemake, "--list-rules"], args.rounds)
        nothing_built = least([*snakemake, "--dry-run"], args.rounds)
        num_jobs = count_jobs(nothing_built.text)
        print(f"{num_jobs:,} jobs", flush=True)
        print(line("reading the rules", reading), flush=True)
        print(line("dry run, nothing built", nothing_built), flush=True)
        if args.nothing_built:
            return 0
        running = run_all(config, folder)
        print(line("running programs that do nothing", running), flush=True)
        all_built = least([*snakemake, "--dry-run"], args.rounds)
        if "Nothing to be done" not in all_built.text:
            parser.exit(1, f"error: not all is up to date:\n{all_built.text[-2000:]}\n")
        print(line("dry run, all built", all_built), flush=True)
    return 0


def study(num_jobs: int) -> dict[str, Any]:
    """Return the config of a study of at least `num_jobs` jobs."""
    fixed = NUM_DATASETS * JOBS_PER_DATASET + 1
    num_seeds = max(1, -(-(num_jobs - fixed) // (NUM_DATASETS * NUM_SAVIS * JOBS_PER_CHAIN)))
    training = {"num_context": 4, "num_preds": 4}
    num_videos = dict.fromkeys(("train", "val", "test"), 10)
    names = {
        "datasets": [f"data{i}" for i in range(NUM_DATASETS)],
        "savi": [f"savi{i}" for i in range(NUM_SAVIS)],
        "predictors": [f"predictor{i}" for i in range(NUM_PREDICTORS)],
        "evaluation": [f"protocol{i}" for i in range(NUM_PROTOCOLS)],
    }
    entries: dict[str, Any] = {
        "datasets": {"kind": "tabletop", "num_videos": num_videos},
        "savi": {"model": {"num_slots": 6}, "training": {"num_steps": 1}},
        "predictors": {"kind": "transformer", "training": training | {"num_steps": 1}},
        "evaluation": training,
    }
    config = {section: dict.fromkeys(names[section], entries[section]) for section in names}
    # Weights of a model that the study makes itself are looked up among all of them.
    tuned = {"start_from": "results/data0/savi0/seed0/predictor0/predictor.pt"}
    config["predictors"][names["predictors"][-1]] = entries["predictors"] | tuned
    return config | {"study": names | {"seeds": list(range(num_seeds))}}


def options(config: Path, folder: Path) -> list[str]:
    """Return the options of all runs of Snakemake."""
    return [
        *("--snakefile", str(PROJECT / "Snakefile"), "--directory", str(folder)),
        *("--configfile", str(config)),
    ]


def run_all(config: Path, folder: Path) -> Taken:
    """Run all jobs with programs that do nothing."""
    stub = folder / "stub" / "python"
    stub.parent.mkdir()
    stub.write_text(STUB, encoding="utf-8")
    stub.chmod(0o755)
    cores = str(os.cpu_count() or 1)
    words = [sys.executable, "-c", RUN_WITH_STUB, str(stub), *options(config, folder)]
    return measure([*words, "--cores", cores, "--quiet", "all"])


def least(words: list[str], num_rounds: int) -> Taken:
    """Return the round of a command that took the least CPU time."""
    return min((measure(words) for _ in range(num_rounds)), key=lambda taken: taken.cpu)


def measure(words: list[str]) -> Taken:
    """Run a command, and return what it and its own children took.

    Raises:
        RuntimeError: If it fails, with what it printed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        start = time.perf_counter()
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{text[-2000:]}")
    return Taken(wall, usage.ru_utime + usage.ru_stime, text)


def count_jobs(text: str) -> int:
    """Return the number of jobs that a dry run announces, in its table."""
    found = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"a dry run without a table of its jobs:\n{text[-2000:]}")
    return int(found[1])


def line(name: str, taken: Taken) -> str:
    """Return a line of the table."""
    return f"{name:33} {taken.wall:6.2f} s, {taken.cpu:6.2f} s of CPU"


if __name__ == "__main__":
    sys.exit(main())
