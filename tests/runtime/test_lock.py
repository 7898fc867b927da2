"""Locks: one process at a time, the others know whom they wait for, and the dead block nobody."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from tiny import quiet_environment

from ocvp.runtime import lock
from ocvp.runtime.lock import Lock

TAKER = """
import errno, logging, os, signal, sys, time
from pathlib import Path
from ocvp.runtime import lock
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
if "--no-locks" in sys.argv:
    def lockf(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    lock.fcntl.lockf = lockf
with lock.Lock(Path(sys.argv[1]), wait="--wait" in sys.argv):
    print("taken", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "seed0" / "resume.lock"


@contextlib.contextmanager
def taker(path, *options):
    """Start a process that takes the lock and keeps it; it is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", TAKER, str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=quiet_environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def next_line(process):
    return process.stdout.readline().strip()


def test_the_second_process_is_refused_and_told_who_the_first_one_is(path):
    with taker(path) as first:
        assert next_line(first) == "taken"
        record = json.loads(path.read_text())
        assert record["pid"] == first.pid
        with pytest.raises(ValueError, match="is training into") as refused:
            Lock(path, wait=False)
        message = str(refused.value)
        holder = f"(host {socket.gethostname()}, process {first.pid}, since {record['since']})"
        assert f"another process {holder} is training into {path.parent}; wait for it" in message
        assert first.poll() is None
        # Being refused neither frees the lock nor hides its holder.
        with pytest.raises(ValueError, match=f"process {first.pid},"):
            Lock(path, wait=False)


def test_who_waits_goes_on_after_the_holder_was_killed(path):
    with taker(path) as first:
        assert next_line(first) == "taken"
        since = json.loads(path.read_text())["since"]
        with taker(path, "--wait") as second:
            assert next_line(second) == (
                f"waiting for another process (host {socket.gethostname()}, process {first.pid}, "
                f"since {since}), which is training into {path.parent}"
            )
            first.kill()
            assert next_line(second) == "taken"
            assert json.loads(path.read_text())["pid"] == second.pid


def test_waiting_ends_at_once_on_a_termination_signal(path):
    with taker(path) as first:
        assert next_line(first) == "taken"
        with taker(path, "--wait") as second:
            assert next_line(second).startswith("waiting for another process")
            start = time.monotonic()
            second.send_signal(signal.SIGTERM)
            assert second.wait(20) == 143
            assert time.monotonic() - start < 5
        with pytest.raises(ValueError, match=f"process {first.pid},"):
            Lock(path, wait=False)


def test_a_waiting_process_says_so_every_ten_minutes(path, monkeypatch, caplog):
    caplog.set_level("INFO", "ocvp")
    with taker(path) as first:
        assert next_line(first) == "taken"
        clock = [0.0]

        def sleep(seconds):
            clock[0] += seconds
            if clock[0] >= 1500:
                first.kill()
                first.wait()

        monkeypatch.setattr(lock.time, "sleep", sleep)
        monkeypatch.setattr(lock.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(lock, "POLL_SECONDS", 50.0)
        with Lock(path, wait=True):
            assert [record.message.count("waiting for") for record in caplog.records] == [1, 1, 1]


@pytest.mark.parametrize("wait", [False, True])
def test_one_process_takes_a_lock_once_at_a_time(path, wait):
    """A record lock alone would be given twice, and lost when the inner one is closed."""
    with Lock(path):
        with pytest.raises(ValueError, match="this process itself is training into"):
            Lock(path, wait=wait)
        with pytest.raises(ValueError, match="this process itself"):
            Lock(path.parent / ".." / "seed0" / path.name, wait=wait)
        with taker(path) as other:
            assert next_line(other) == ""  # refused still
            assert other.wait(20) == 1
    with Lock(path) as again, Lock(path.with_name("other.lock")):
        again.release()
        again.release()
        with taker(path) as other:
            assert next_line(other) == "taken"


def test_a_fork_neither_has_the_lock_nor_gives_it_back(path):
    with Lock(path) as held:
        if (child := os.fork()) == 0:
            status = 1
            try:
                held.release()
                Lock(path)
            except ValueError as error:
                status = 0 if f"another process (host {socket.gethostname()}" in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_the_file_stays_and_is_emptied_when_the_lock_is_given_back(path):
    with Lock(path):
        number = path.stat().st_ino
        path.chmod(0o640)
    assert path.read_text() == ""
    path.write_text("x" * 1000)  # longer than what replaces it
    with Lock(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.stat().st_ino == number


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b'{"host": ', b"[1]", b'{"pid": "x"}'])
def test_a_holder_that_cannot_be_read_is_a_holder(path, content):
    with taker(path) as first:
        assert next_line(first) == "taken"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"host unknown, process (unknown|x), since unknown"):
            Lock(path)


# --- file systems without locks ------------------------------------------------------------------


def refuse_locks(monkeypatch, number=errno.ENOLCK):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "lockf", refuse)


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524])
def no_locks(request, monkeypatch):
    refuse_locks(monkeypatch, request.param)


def record_of_parent(changes):
    started = psutil.Process(os.getppid()).create_time()
    record = {"host": socket.gethostname(), "pid": os.getppid(), "since": "now"}
    return json.dumps(record | {"started": started} | changes)


def test_without_locks_the_recorded_process_counts(path, no_locks, caplog):
    path.parent.mkdir()
    with taker(path, "--no-locks") as first:
        assert next_line(first).startswith(f"{path} cannot be locked (")
        assert next_line(first) == "taken"
        with pytest.raises(ValueError, match=f"process {first.pid},"):
            Lock(path)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert f"{path} cannot be locked" in caplog.text
        first.kill()  # it is not waited for yet: a zombie trains nothing
        deadline = time.monotonic() + 20
        while psutil.Process(first.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
        with Lock(path):
            assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.read_text() == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "elsewhere"},
        {"started": 1.0},  # the number was given to another process since
        {"pid": os.getpid()},
        {"pid": 2**22 + 1},
        {"pid": -1},
        {"pid": None},
    ],
)
def test_without_locks_who_is_gone_or_elsewhere_blocks_nobody(path, monkeypatch, changes):
    refuse_locks(monkeypatch)
    path.parent.mkdir()
    path.write_text(record_of_parent({}))
    with pytest.raises(ValueError, match=f"process {os.getppid()}, since now"):
        Lock(path)
    path.write_text(record_of_parent(changes))
    with Lock(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_without_locks_waiting_warns_once(path, monkeypatch, caplog):
    refuse_locks(monkeypatch)
    path.parent.mkdir()
    path.write_text(record_of_parent({}))
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            path.write_text("")

    monkeypatch.setattr(lock.time, "sleep", sleep)
    with Lock(path, wait=True):
        assert naps == [1.0] * 3
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert ["cannot be locked" in text for text in warnings].count(True) == 1
    assert ["waiting for" in text for text in warnings].count(True) == 1  # a reminder comes later


def test_another_fault_of_locking_is_passed_on(path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(lock.fcntl, "lockf", fail)
    num_open = psutil.Process().num_fds()
    with pytest.raises(OSError, match="Input/output error"):
        Lock(path)
    assert psutil.Process().num_fds() == num_open
