"""Reading ahead: the order of the plan, errors as they are, and no process that stays behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from tiny import quiet_environment, reading_processes
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from ocvp.batches.read_ahead import read_ahead

PLAN = list(range(20))


class Squares:
    """Squares its item; some items make trouble."""

    def __init__(self, bad=None, error=None):
        self.bad, self.error = bad, error

    def __getitem__(self, item):
        if item == self.bad:
            raise self.error
        return item, torch.full((2,), item * item)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_items_come_in_the_order_of_the_plan(workers):
    items = list(read_ahead(Squares(), PLAN, workers, "numbers"))
    assert [item for item, _ in items] == PLAN
    assert all(values.tolist() == [item * item] * 2 for item, values in items)
    assert not reading_processes()
    assert list(read_ahead(Squares(), [], workers, "numbers")) == []


def test_the_generator_of_dropout_is_left_alone():
    state = torch.random.get_rng_state()
    list(read_ahead(Squares(), PLAN, 2, "numbers"))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [ValueError("numbers.h5 is gone"), MemoryError("12 bytes")])
def test_errors_come_out_as_they_are(workers, error):
    done = []
    items = (done.append(item) for item, _ in read_ahead(Squares(7, error), PLAN, workers, "x"))
    with pytest.raises(type(error)) as caught:
        list(items)
    assert done == PLAN[:7]
    assert str(caught.value) == str(error)


def test_leaving_early_leaves_nobody_behind():
    batches = read_ahead(Squares(), PLAN, 2, "numbers")
    next(batches)
    assert len(reading_processes()) == 2
    batches.close()
    assert not reading_processes()


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, r"was killed \(SIGKILL, probably by the system, for lack of memory\)"),
        (signal.SIGBUS, r"was killed \(SIGBUS, probably as the shared memory"),
        (signal.SIGSEGV, r"was killed \(SIGSEGV\)"),
    ],
)
def test_a_killed_reader_is_told_and_interrupts_no_step(monkeypatch, number, cause):
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))
    former = signal.getsignal(signal.SIGCHLD)
    batches = read_ahead(Squares(), PLAN, 2, "a.h5, b.h5")
    next(batches)
    victim = reading_processes()[0]
    os.kill(victim.pid, number)
    deadline = time.monotonic() + 20
    while victim.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)  # as a step would: torch's handler would raise here
    assert signal.getsignal(signal.SIGCHLD) is former
    with pytest.raises(ValueError, match=f"a process that read a.h5, b.h5 {cause}") as caught:
        list(batches)
    assert "runtime.num_workers is 2" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    del batches, caught
    assert not reading_processes()


# Prints the readers' numbers while they still have much to read.
PROGRAM = """
import multiprocessing, sys, time
from ocvp.batches.read_ahead import read_ahead

class Reader:
    def __getitem__(self, item):
        return item

batches = read_ahead(Reader(), range(10**6), 2, "numbers")
next(batches)
print(*(process.pid for process in multiprocessing.active_children()), flush=True)
if sys.argv[1] == "stay":
    time.sleep(60)
"""


def start(how):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how],
        env=quiet_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    readers = [psutil.Process(int(word)) for word in process.stdout.readline().split()]
    assert len(readers) == 2
    return process, readers


def is_running(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they end after some seconds")
def test_readers_end_with_a_process_that_is_killed():
    process, readers = start("stay")
    assert all(map(is_running, readers))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 2  # torch's own check takes up to 5 seconds
    while any(map(is_running, readers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, readers))
    process.communicate()


def test_a_program_ends_although_it_did_not_read_everything():
    process, readers = start("leave")
    try:
        _, text = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert text == ""
    assert not any(map(is_running, readers))
