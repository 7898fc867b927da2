"""The benchmark of the workflow runs, and 1,000 jobs stay within what it promises."""

import os
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "workflow_speed.py"
QUIET = {"OMP_NUM_THREADS": "1"}
PROMISED = 10.0  # seconds of CPU, where importing Snakemake takes this many:
IMPORTING = 0.9
MEASURED = ("reading the rules", "dry run, nothing built", "dry run, all built")


@pytest.fixture
def benchmark(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, float]]]:
    """Return a function that runs the benchmark, with other constants if given.

    It returns the number of jobs, and the CPU seconds by what was measured.
    """

    def run(*arguments: str, **constants: int) -> tuple[int, dict[str, float]]:
        main = runpy.run_path(str(PROGRAM))["main"]
        with mock.patch.dict(main.__globals__, constants), mock.patch.dict(os.environ, QUIET):
            assert main(["--rounds", "1", *arguments]) == 0
        text = capsys.readouterr().out
        jobs = re.search(r"^([\d,]+) jobs$", text, re.MULTILINE)
        assert jobs is not None, text
        lines = re.findall(r"^(.+?) +[\d.]+ s, +([\d.]+) s of CPU$", text, re.MULTILINE)
        return int(jobs[1].replace(",", "")), {name: float(seconds) for name, seconds in lines}

    return run


@pytest.fixture
def pace() -> float:
    """Return how many times longer this machine takes now, at least 1.

    What else a machine does costs CPU time too: half as much again was seen on one that is shared.
    """
    measure = runpy.run_path(str(PROGRAM))["measure"]
    words = [sys.executable, "-c", "import snakemake.cli, pandas"]
    return max(1.0, sorted(measure(words).cpu for _ in range(3))[1] / IMPORTING)


@pytest.mark.slow
def test_a_small_study_is_measured(benchmark):
    few = {"NUM_DATASETS": 1, "NUM_SAVIS": 1, "NUM_PREDICTORS": 2, "NUM_PROTOCOLS": 1}
    num_jobs, taken = benchmark("--jobs", "1", **few)
    assert 10 <= num_jobs < 30
    assert taken.keys() == {*MEASURED, "running programs that do nothing"}
    assert all(seconds > 0 for seconds in taken.values())


@pytest.mark.slow
def test_a_thousand_jobs_are_found_out_about_within_ten_seconds(benchmark, pace):
    # That finding all built takes no longer is left to the benchmark: it takes a minute to build.
    num_jobs, taken = benchmark("--jobs", "1000", "--nothing-built")
    assert num_jobs >= 1000
    assert taken.keys() == set(MEASURED[:2])
    for name, seconds in taken.items():
        assert seconds < PROMISED * pace, f"{name}: {seconds} s of CPU, at a pace of {pace:.2f}"
