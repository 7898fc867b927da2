"""Jobs side by side take different GPUs, as far as that can be tested without any."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ocvp.compute.device import prepare_device
from ocvp.runtime.gpus import VISIBLE, take_gpus

# Takes GPUs, says which, and holds them until its input ends.
HOLDER = """
import os, pathlib, sys
from ocvp.runtime.gpus import VISIBLE, take_gpus
take_gpus(int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]))
print(os.environ.get(VISIBLE, "all"), flush=True)
sys.stdin.read()
"""


class Holder:
    """A process that takes some GPUs."""

    def __init__(self, folder: Path, num: int, num_visible: int, shown: str | None = None):
        environment = {name: value for name, value in os.environ.items() if name != VISIBLE}
        environment |= {VISIBLE: shown} if shown else {}
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(num), str(num_visible), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        self.taken = self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_two_processes_take_two_gpus_and_a_third_shares(tmp_path):
    holders = [Holder(tmp_path, 1, 2) for _ in range(3)]
    assert [holder.taken for holder in holders] == ["0", "1", "all"]
    holders[0].end()
    again = Holder(tmp_path, 1, 2)
    assert again.taken == "0"  # given back, also by a process that was killed
    for holder in (*holders[1:], again):
        holder.end()


def test_several_are_taken_together_or_not_at_all(tmp_path):
    one, two, many = Holder(tmp_path, 1, 4), Holder(tmp_path, 2, 4), Holder(tmp_path, 2, 4)
    assert (one.taken, two.taken, many.taken) == ("0", "1,2", "all")
    last = Holder(tmp_path, 1, 4)
    assert last.taken == "3"  # the one that was too few for two is free again
    for holder in (one, two, many, last):
        holder.end()


def test_only_visible_gpus_are_taken(tmp_path):
    holder = Holder(tmp_path, 1, 2, shown="5,7")
    other = Holder(tmp_path, 1, 2, shown="5,7")
    assert (holder.taken, other.taken) == ("5", "7")
    holder.end()
    other.end()


def test_where_locks_cannot_be_written_the_first_gpus_are_used(tmp_path):
    (tmp_path / "locks").write_text("a file")
    holder = Holder(tmp_path / "locks" / "below", 1, 2)
    assert holder.taken == "all"
    holder.end()


def test_where_a_scheduler_shows_no_more_than_needed_nothing_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv(VISIBLE, "3")
    take_gpus(1, 1, tmp_path / "locks")
    assert os.environ[VISIBLE] == "3"
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize(("name", "taken"), [("auto", 1), ("cuda", 1), ("cpu", None)])
def test_a_program_takes_one_for_its_device(name, taken, monkeypatch):
    wanted: list[int] = []

    def is_available() -> bool:
        # It starts CUDA, which then goes on to see what it saw.
        assert wanted == [taken]
        return True

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("ocvp.compute.device.take_gpus", lambda num, visible: wanted.append(num))
    prepare_device(name, num_threads=1)
    assert wanted == ([taken] if taken else [])


def test_one_of_several_processes_takes_none_for_itself(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("ocvp.compute.device.take_gpus", pytest.fail)
    assert prepare_device("auto", num_threads=1).type == "cuda"
