"""Processes that read ahead: what they report, and how they end."""

import atexit
import contextlib
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

from ocvp.runtime.interruption import die_with_parent, leave_stopping_to_parent

Item = TypeVar("Item", contravariant=True)
Batch = TypeVar("Batch", covariant=True)

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
    with _started(loader) as (batches, workers):
        try:
            for batch in batches:
                if isinstance(batch, Exception):
                    raise batch
                yield batch
        except (RuntimeError, OSError, EOFError) as error:
            cause = _cause_of_death(workers)
            if cause is None:
                raise
            raise ValueError(
                f"a process that read {what} {cause}; runtime.num_workers is {num_workers}: "
                "fewer need less memory, and with 0 the program reads by itself"
            ) from error


class _Reported(Dataset):
    """Hands errors over as values: raised in a worker they would come with its traceback."""

    def __init__(self, reader: Reader):
        self._reader = reader

    def __getitem__(self, item: Any) -> Any:
        try:
            return self._reader[item]
        except (ValueError, MemoryError) as error:
            return error


@contextlib.contextmanager
def _started(loader: DataLoader) -> Iterator[tuple[Iterator[Any], list[BaseProcess]]]:
    """Start the processes of a loader, and end them at once where the reading ends.

    torch asks its workers to end and gives them seconds for it; at the exit of the program it
    leaves them to multiprocessing, whose signal they ignore (`leave_stopping_to_parent`).
    """
    threads, others = threading.enumerate(), multiprocessing.active_children()
    former = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    # torch's handler would let the death of a worker interrupt whatever runs here, such as a
    # step; without it the loader finds the worker dead when it waits for what that should read.
    if threading.current_thread() is threading.main_thread() and former is not None:
        signal.signal(signal.SIGCHLD, former)
    feeders = [thread for thread in threading.enumerate() if thread not in threads]
    workers = [process for process in multiprocessing.active_children() if process not in others]
    end = functools.partial(_end, workers)
    atexit.register(end)  # where the iteration is still going on at the exit
    try:
        yield batches, workers
    finally:
        end()
        atexit.unregister(end)
        # Closed while it is still held here: else its pipes are collected while the threads that
        # feed them close them too, and whichever comes second may close a file of another's that
        # got the same number.
        getattr(batches, "_shutdown_workers", lambda: None)()
        for feeder in feeders:
            feeder.join(_SECONDS_TO_END)


def _begin(number: int) -> None:
    """Set up a worker: signals are its parent's, and it does not outlive that."""
    leave_stopping_to_parent()
    die_with_parent()  # torch's worker looks for it every few seconds only
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it was killed just before
        sys.exit(1)


def _end(workers: Sequence[BaseProcess]) -> None:
    """Kill what still reads, and wait for its end."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(_SECONDS_TO_END)


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
