"""Processes that read ahead: what they report, and how they end."""

import atexit
import ctypes
import functools
import multiprocessing
import multiprocessing.connection
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from ocvp.runtime.interruption import leave_stopping_to_parent

Item = TypeVar("Item", contravariant=True)
Batch = TypeVar("Batch", covariant=True)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SECONDS_TO_END = 1.0
_CAUSES = {
    signal.SIGKILL: ["probably by the system, for lack of memory"],
    signal.SIGBUS: ["probably as the shared memory (/dev/shm) is too small"],
}


class Reader(Protocol[Item, Batch]):
    """What reads: pickled, it goes to the processes."""

    def __getitem__(self, item: Item) -> Batch:
        """Read one item; errors are ValueError."""


def read_ahead(
    reader: Reader[Item, Batch], plan: Sequence[Item], num_workers: int, what: str
) -> Iterator[Batch]:
    """Read the items of a plan, in its order.

    The processes live as long as the iteration. They end with this process, however it ends, and
    leave signals to it.

    Args:
        reader: Reads one item; its errors come out here as they are.
        plan: The items.
        num_workers: Processes that read ahead; 0: this one reads, when it is asked.
        what: What is read, for messages.

    Raises:
        ValueError: If such a process was killed.
    """
    if num_workers == 0:
        for item in plan:
            yield reader[item]
        return
    loader = DataLoader(
        _Reported(reader),
        batch_size=None,
        sampler=plan,
        num_workers=num_workers,
        # The loader draws a base seed; a generator of its own keeps it from torch's, which
        # dropout uses.
        generator=torch.Generator(),
        worker_init_fn=_begin,
    )
    batches, workers, feeders = _start(loader)
    end, done = functools.partial(_end, workers), object()
    atexit.register(end)  # where the iteration is still going on at the exit
    try:
        while True:
            try:
                batch: Any = next(batches, done)
            except (RuntimeError, OSError, EOFError) as error:
                cause = _cause_of_death(workers)
                if cause is None:
                    raise
                raise ValueError(
                    f"a process that read {what} {cause}; runtime.num_workers is {num_workers}: "
                    "fewer need less memory, and with 0 the program reads by itself"
                ) from error
            if batch is done:
                return
            if isinstance(batch, Exception):
                raise batch
            yield batch
    finally:
        end()
        atexit.unregister(end)
        _close(batches, feeders)


class _Reported(Dataset):
    """Hands errors over as values: raised in a worker they would come with its traceback."""

    def __init__(self, reader: Reader):
        self._reader = reader

    def __getitem__(self, item: Any) -> Any:
        try:
            return self._reader[item]
        except (ValueError, MemoryError) as error:
            return error


def _start(
    loader: DataLoader,
) -> tuple[Iterator[Any], list[BaseProcess], list[threading.Thread]]:
    """Start a loader, and return its batches, its processes, and the threads that feed these."""
    threads = threading.enumerate()
    former = signal.getsignal(signal.SIGCHLD)
    others = multiprocessing.active_children()
    batches = iter(loader)
    # torch's handler would let the death of a worker interrupt whatever runs here, such as a
    # step; without it the loader finds the worker dead when it waits for what that should read.
    if threading.current_thread() is threading.main_thread() and former is not None:
        signal.signal(signal.SIGCHLD, former)
    workers = [process for process in multiprocessing.active_children() if process not in others]
    return batches, workers, [each for each in threading.enumerate() if each not in threads]


def _close(batches: Iterator[Any], feeders: Sequence[threading.Thread]) -> None:
    """Close a loader whose processes have ended, while somebody still holds it.

    Else its pipes are collected while the threads that feed them close them too: whichever comes
    second may close a file of another's that got the same number.
    """
    getattr(batches, "_shutdown_workers", lambda: None)()
    for feeder in feeders:
        feeder.join(_SECONDS_TO_END)


def _end(workers: Sequence[BaseProcess]) -> None:
    """End what still reads; it ignores the signal by which multiprocessing would do so."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(_SECONDS_TO_END)


def _begin(number: int) -> None:
    """Set up a worker: signals are its parent's, and it does not outlive that."""
    leave_stopping_to_parent(number)
    if sys.platform == "linux":  # elsewhere torch's worker looks every few seconds
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():  # it was killed just before
            sys.exit(1)


def _cause_of_death(workers: Sequence[BaseProcess]) -> str | None:
    """Say how one of the workers ended; None where all of them live."""
    multiprocessing.connection.wait([worker.sentinel for worker in workers], _SECONDS_TO_END)
    code = next((worker.exitcode for worker in workers if worker.exitcode), None)
    if code is None:
        return None
    if code > 0:
        return f"ended with status {code}"
    number = signal.Signals(-code)
    return f"was killed ({', '.join([number.name, *_CAUSES.get(number, [])])})"
