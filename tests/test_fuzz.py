"""The harness of `make fuzz`: it finds what it is for, and says the same for the same seed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import configs
import fuzz
import kinds
import pytest
from children import Outcome, run_all


def test_a_crash_and_a_hang_are_told_of_the_try_that_did_it():
    def one(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 5:
            time.sleep(60)
        return Outcome("right", str(number))

    found = run_all(8, one, seconds=1.0)
    assert [outcome.kind for outcome in found] == [
        *("right", "right", "right", "crash", "right", "hang", "right", "right")
    ]
    assert found[3].text == "status -9"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("x.h5 is damaged"), "refused"),
        (ValueError("it is damaged"), "unnamed"),
        (KeyError("x.h5"), "traceback"),
        (MemoryError("x.h5"), "memory"),
    ],
)
def test_what_is_raised_is_judged(error, kind):
    def run():
        raise error

    outcome = children.judged(run, lambda text: "x.h5" in text, lambda _: Outcome("right"))
    assert outcome.kind == kind
    assert outcome.is_violation == (kind != "refused")


def test_another_result_is_wrong_where_a_checksum_exists(tmp_path):
    """A reader without the check would be found out."""

    def make(folder):
        (folder / "x.bin").write_bytes(bytes(1000))

    def read(folder):
        return len((folder / "x.bin").read_bytes()), (folder / "x.bin").read_bytes().count(0)

    (tmp_path / "good").mkdir()
    make(tmp_path / "good")
    kind = kinds.Kind(make, "*.bin", read, is_exact=True)
    for number in range(30):
        chance = random.Random(number)
        place = tmp_path / str(number)
        found = kinds.tried(kind, tmp_path / "good", place, [(1000, 1000)], chance)
        is_same = (place / "x.bin").read_bytes() == bytes(1000)
        assert found.kind == ("right" if is_same else "wrong")
    assert kinds.tried(
        kind._replace(is_exact=False), tmp_path / "good", tmp_path / "x", [0], chance
    )


def test_children_need_no_threads_of_their_parent(tmp_path):
    """A fork has none of them: where torch used several before, its child waited for ever."""
    code = (
        "import sys, torch; sys.path[:0] = sys.argv[1:2]; import fuzz; torch.set_num_threads(2); "
        "torch.randn(600, 600).matmul(torch.randn(600, 600)).relu_(); "
        "sys.exit(fuzz.main(['--tries', '4', '--only', 'savi', 'json', '--keep', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", code, Path(fuzz.__file__).parent, tmp_path]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_some_files_and_configs(tmp_path, capsys):
    arguments = ["--tries", "8", "--seed", "5", "--only", "config", "json", "resume"]
    assert fuzz.main([*arguments, "--keep", str(tmp_path)]) == 0, capsys.readouterr().out
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert first.split() == ["kind", *fuzz.ENDS, "otherwise", "seconds"]
    assert [row.split()[0] for row in rows] == ["config", "json", "resume"]
    assert [sum(map(int, row.split()[1:6])) for row in rows] == [8, 4, 4]
    assert last == "seed 5: 0 of 16 ended otherwise"


def test_a_seed_gives_the_same_configs():
    assert configs.cases(20, 3) == configs.cases(20, 3)
    assert configs.cases(20, 3) != configs.cases(20, 4)
