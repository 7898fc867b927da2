"""The benchmark of conversions runs on given data and on data of its own, within its memory."""

import re
import subprocess
import sys
from pathlib import Path

from raw_trees import write_obj3d
from tiny import quiet_environment

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "conversion_speed.py"


def run(*arguments):
    words = [sys.executable, PROGRAM, *arguments, "--cores", 4, "--videos", 2, "--rounds", 1]
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=quiet_environment(),
    )


def test_both_data_sets_are_measured_within_1_gb(tmp_path):
    write_obj3d(tmp_path, {"train": 3}, 50)
    done = run("--obj3d-root", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"obj3d +\d+\.\d videos/s on one core \(2 videos, your files\)", done.stdout)
    assert re.search(r"movi_a +\d+\.\d videos/s on one core \(2 videos, the tests'\)", done.stdout)
    assert re.search(r"all 3,320 videos on 4 cores: \d+\.\d minutes", done.stdout)
    assert re.search(r"all 9,953 videos on 4 cores: \d+\.\d minutes", done.stdout)
    peaks = [float(peak) for peak in re.findall(r"peak memory (\d+) MB", done.stdout)]
    assert len(peaks) == 2
    assert max(peaks) < 1000


def test_missing_data_are_named(tmp_path):
    done = run("--obj3d-root", tmp_path / "nothing")
    assert done.returncode == 1
    assert "nothing/train does not exist" in done.stderr
    assert "Traceback" not in done.stderr
