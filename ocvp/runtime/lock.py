"""A lock on a file: one process at a time, also where a cluster starts a job twice.

It is a record lock, which the end of a process gives back however it comes, and which the processes
that it forks do not inherit. The file is never removed or replaced: whoever opens it means the same
lock. What stands in it names the holder to others.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any, Self

import psutil

from ocvp.runtime.files import check_writable

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often a waiting process looks whether the lock is free."""

REMIND_SECONDS = 600.0
"""How often it says for whom it waits."""

TAKEN = (errno.EACCES, errno.EAGAIN)
"""What the system says where another process has the lock."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, 524)
"""What it says where the file system has no locks; 524 is the kernel's ENOTSUPP, which no header
names."""

MOST_RECORD_BYTES = 4096

START_TOLERANCE_SECONDS = 10.0
"""Within so much the start of a process is the recorded one; else its number was given anew."""

_holders: dict[str, int] = {}
"""Path of each lock that this process holds, to the process that took it (a fork inherits the
entry, but not the lock). Record locks do not exclude one another within one process."""


class Lock:
    """A lock that the constructor takes, and `release` or the end of the process gives back.

    Args:
        path: The file, in the folder that the lock is about; it is made where it is missing.
        wait: Whether to wait for the holder to end instead of refusing.

    Raises:
        ValueError: If another process has the lock and `wait` is false, naming that process; or if
            this process has it already.
        OSError: If the file cannot be written.
    """

    def __init__(self, path: Path, wait: bool = False):
        self._path = path
        self._key = str(path.resolve())
        self._descriptor: int | None = None
        self._has_warned = False
        folder = path.absolute().parent
        if _holders.get(self._key) == os.getpid():
            raise ValueError(f"this process itself is training into {folder} already")
        check_writable(path)
        last_reminder = -float("inf")
        while (holder := self._take()) is not None:
            if not wait:
                raise ValueError(
                    f"another process ({_describe(holder)}) is training into {folder}; wait for "
                    "it (--wait), end it, or write elsewhere"
                )
            if time.monotonic() - last_reminder >= REMIND_SECONDS:
                last_reminder = time.monotonic()
                # A warning: without a terminal nobody would see why nothing happens.
                logger.warning(
                    "waiting for another process (%s), which is training into %s",
                    *(_describe(holder), folder),
                )
            # Not within fcntl, which signals would not interrupt.
            time.sleep(POLL_SECONDS)

    def release(self) -> None:
        """Give the lock back; a second time, nothing."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if _holders.get(self._key) == os.getpid():
            del _holders[self._key]
            # Where there are no locks, the record alone keeps others away.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def _take(self) -> dict[str, Any] | None:
        """Take the lock and return None, or return the record of its holder."""
        # Opened anew for each try: closing it gives a record lock back, but here none is held.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not self._is_free(descriptor):
                return _read_record(descriptor)
            _write_record(descriptor)
            _holders[self._key] = os.getpid()
            self._descriptor = descriptor
            return None
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def _is_free(self, descriptor: int) -> bool:
        """Lock the file; where that is impossible, tell whether the recorded holder is gone."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in TAKEN:
                return False
            if error.errno not in NO_LOCKS:
                raise
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "%s cannot be locked (%s): only processes of this machine are kept from "
                    "training into the same folder",
                    *(self._path, error),
                )
        return not _is_alive(_read_record(descriptor))


def _write_record(descriptor: int) -> None:
    """Replace what stands in the file by who this is."""
    record = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        "started": psutil.Process().create_time(),
    }
    content = json.dumps(record).encode()
    os.lseek(descriptor, 0, os.SEEK_SET)
    # Truncated last: another process that reads in between finds a whole record.
    os.write(descriptor, content)
    os.ftruncate(descriptor, len(content))


def _read_record(descriptor: int) -> dict[str, Any]:
    """Return who holds the lock; empty where that is not said (or not yet)."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, MOST_RECORD_BYTES).decode(errors="replace")
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _describe(record: dict[str, Any]) -> str:
    host, pid, since = (record.get(name, "unknown") for name in ("host", "pid", "since"))
    return f"host {host}, process {pid}, since {since}"


def _is_alive(record: dict[str, Any]) -> bool:
    """Tell whether the recorded process runs on this machine, and is not this one."""
    pid, started = record.get("pid"), record.get("started")
    if record.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    if pid == os.getpid():  # an earlier process that had the same number
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if not isinstance(started, int | float):
            return True
        return abs(process.create_time() - started) <= START_TOLERANCE_SECONDS
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError):  # a negative number is none
        return False
