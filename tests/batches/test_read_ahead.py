"""Reading ahead: the order of the plan, errors as they are, and no process that stays behind."""

import _multiprocessing
import errno
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection

import psutil
import pytest
import torch
from tiny import quiet_environment, reading_processes

from ocvp.batches import read_ahead as module
from ocvp.batches.read_ahead import read_ahead
from ocvp.runtime import interruption
from ocvp.runtime.interruption import OverdueStopError, StopRequest

PLAN = list(range(20))
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)


class Squares:
    """Squares its item; some items make trouble."""

    def __init__(self, bad=None, error=None, trouble=None):
        self.bad, self.error, self.trouble = bad, error, trouble

    def __getitem__(self, item):
        if multiprocessing.parent_process():
            faulthandler.disable()  # pytest's would write where a process was that is killed
        if item == self.bad and self.trouble:
            self.trouble()
        elif item == self.bad:
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


def test_a_defect_of_a_reader_comes_with_its_traceback():
    reader = Squares(7, trouble=lambda: {}["nothing"])
    with pytest.raises(RuntimeError, match="a process that reads ahead failed") as caught:
        list(read_ahead(reader, PLAN, 2, "numbers"))
    assert "self.trouble()" in str(caught.value)
    assert "KeyError: 'nothing'" in str(caught.value)


def test_leaving_early_leaves_nobody_behind():
    threads = threading.active_count()
    batches = read_ahead(Squares(), PLAN, 2, "numbers")
    next(batches)
    assert len(reading_processes()) == 2
    batches.close()
    assert not reading_processes()
    assert threading.active_count() == threads


def test_a_container_without_shared_memory_suffices(monkeypatch):
    """All that takes some of /dev/shm fails, here and in the processes, as where that is full."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_multiprocessing, "SemLock", full)
    for name in ("_share_fd_cpu_", "_share_filename_cpu_", "share_memory_"):
        monkeypatch.setattr(torch.UntypedStorage, name, full)
    with pytest.raises(OSError, match="No space left"):
        torch.zeros(1).share_memory_()
    assert [item for item, _ in read_ahead(Squares(), PLAN, 2, "numbers")] == PLAN


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, r"was killed \(SIGKILL, probably by the system, for lack of memory\)"),
        (signal.SIGBUS, r"was killed \(SIGBUS\)"),
        (signal.SIGSEGV, r"was killed \(SIGSEGV\)"),
        (signal.SIGSTOP, r"is halted \(SIGSTOP\)"),
    ],
)
def test_a_killed_reader_is_told_and_interrupts_no_step(monkeypatch, number, cause):
    monkeypatch.setattr(module, "HALTED_SECONDS", 0.2)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.1)
    former = signal.getsignal(signal.SIGCHLD)
    batches = read_ahead(Squares(), PLAN, 2, "a.h5, b.h5")
    next(batches)
    victim = reading_processes()[0]
    os.kill(victim.pid, number)
    deadline = time.monotonic() + 20
    while psutil.Process(victim.pid).status() not in ENDED and time.monotonic() < deadline:
        time.sleep(0.01)  # as a step would: nothing raises here
    assert signal.getsignal(signal.SIGCHLD) is former
    with pytest.raises(ValueError, match=f"a process that read a.h5, b.h5 {cause}") as caught:
        list(batches)
    assert "runtime.num_workers is 2" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    del batches, caught
    assert not reading_processes()


def test_a_reader_that_ends_within_an_answer_is_told(monkeypatch):
    def send_a_part(pipe, content):
        os.write(pipe.fileno(), len(content).to_bytes(4) + bytes(content[:10]))
        os._exit(9)

    monkeypatch.setattr(Connection, "send_bytes", send_a_part)
    with pytest.raises(ValueError, match="a process that read numbers ended with status 9"):
        list(read_ahead(Squares(), PLAN, 2, "numbers"))


@pytest.mark.parametrize("bad", [0, 7])
def test_a_signal_ends_a_wait_for_a_reader_that_never_answers(monkeypatch, bad):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(interruption, "OVERDUE_SECONDS", 0.2)
    batches = read_ahead(Squares(bad, trouble=signal.pause), PLAN, 2, "a.h5")
    for _ in range(bad):
        next(batches)
    request = StopRequest(is_shown=False)
    threading.Timer(0.3, request.note, (signal.SIGTERM, None)).start()
    start = time.monotonic()
    with pytest.raises(OverdueStopError, match=r"a\.h5 cannot be read"):
        next(batches)
    assert 0.4 < time.monotonic() - start < 5.0
    assert not reading_processes()
    StopRequest()  # of another loop: no stop is asked for any more
    assert len(list(read_ahead(Squares(), PLAN, 2, "a.h5"))) == len(PLAN)


def test_a_slow_disk_is_waited_for_and_told(monkeypatch, caplog):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.2)
    slow = Squares(7, trouble=lambda: time.sleep(0.8))
    assert len(list(read_ahead(slow, PLAN, 2, "a.h5"))) == len(PLAN)
    assert caplog.messages == ["waiting for a.h5, whose disk does not answer"]


# Prints the readers' numbers while they still have much to read.
PROGRAM = """
import multiprocessing, sys
from ocvp.batches.read_ahead import read_ahead

class Reader:
    def __getitem__(self, item):
        return item

batches = read_ahead(Reader(), range(10**6), 2, "numbers")
next(batches)
print(*(process.pid for process in multiprocessing.active_children()), flush=True)
sys.stdin.readline()
"""


def start():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=quiet_environment(),
        stdin=subprocess.PIPE,
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
    process, readers = start()
    assert all(map(is_running, readers))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 2  # torch's own check takes up to 5 seconds
    while any(map(is_running, readers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, readers))
    process.communicate()


def test_a_program_ends_although_it_did_not_read_everything():
    process, readers = start()
    try:
        _, text = process.communicate("leave\n", timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert text == ""
    assert not any(map(is_running, readers))
