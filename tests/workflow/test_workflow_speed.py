"""The benchmark of the workflow runs, and 1,000 jobs stay within what it promises."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import quiet_environment

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "workflow_speed.py"
PROMISED = 10.0  # seconds of CPU: the machine may be busy with other things
MEASURED = ("reading the rules", "dry run, nothing built", "dry run, all built")


def benchmark(*arguments: str) -> tuple[int, dict[str, float]]:
    """Run the benchmark; return the number of jobs, and the CPU seconds by what was measured."""
    done = subprocess.run(
        [sys.executable, PROGRAM, "--rounds", "1", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=quiet_environment(),
    )
    assert done.returncode == 0, done.stderr
    jobs = re.search(r"^([\d,]+) jobs$", done.stdout, re.MULTILINE)
    assert jobs is not None, done.stdout
    lines = re.findall(r"^(.+?) +[\d.]+ s, +([\d.]+) s of CPU$", done.stdout, re.MULTILINE)
    return int(jobs[1].replace(",", "")), {name: float(seconds) for name, seconds in lines}


@pytest.mark.slow
def test_a_small_study_is_measured():
    num_jobs, taken = benchmark("--jobs", "100")
    assert 100 <= num_jobs < 300
    assert taken.keys() == {*MEASURED, "running programs that do nothing"}
    assert 0 < taken["reading the rules"] < taken["dry run, nothing built"]


@pytest.mark.slow
def test_a_thousand_jobs_are_found_out_about_within_ten_seconds():
    # That finding all built takes no longer is left to the benchmark: it takes a minute to build.
    num_jobs, taken = benchmark("--jobs", "1000", "--nothing-built")
    assert num_jobs >= 1000
    assert taken.keys() == set(MEASURED[:2])
    for name, seconds in taken.items():
        assert seconds < PROMISED, f"{name}: {seconds} s of CPU"
