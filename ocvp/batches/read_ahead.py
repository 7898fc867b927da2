"""Processes that read ahead: what they are asked, what they report, and how they end.

Each has a pipe of its own, from which a thread of this process receives: no memory is shared, which
containers have little of (/dev/shm), and no lock, so one that dies or hangs holds up nothing else.
"""

import atexit
import contextlib
import functools
import io
import logging
import multiprocessing
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

import psutil
import torch
from torch import Tensor

from ocvp.runtime.interruption import (
    OverdueStopError,
    die_with_parent,
    is_stop_overdue,
    leave_stopping_to_parent,
)

logger = logging.getLogger(__name__)

Item = TypeVar("Item", contravariant=True)
Batch = TypeVar("Batch", covariant=True)

ASKED_AHEAD = 2
"""Items that each process is asked for before the first of them is taken."""

POLL_SECONDS = 0.5
"""How often a wait looks whether it is in vain."""

HALTED_SECONDS = 5.0
"""A process that is halted (SIGSTOP) for so long is not waited for any longer."""

SLOW_SECONDS = 30.0
"""A wait for so long is said, once."""

_SECONDS_TO_END = 1.0
_CAUSES = {signal.SIGKILL: ["probably by the system, for lack of memory"]}


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
        ValueError: If such a process was killed or halted.
        OverdueStopError: If a signal to stop came, and an item does not.
    """
    if num_workers == 0:
        for item in plan:
            yield reader[item]
        return
    with _started(reader, min(num_workers, len(plan))) as workers:
        # Dealt out in turn, so that the order of the answers is known.
        turns = [workers[number % len(workers)] for number in range(len(plan))]
        num_asked = ASKED_AHEAD * len(workers)
        for worker, item in zip(turns[:num_asked], plan[:num_asked], strict=True):
            worker.ask(item)
        for number, worker in enumerate(turns):
            try:
                answer = worker.answer(what)
            except _LostError as error:
                raise ValueError(
                    f"a process that read {what} {error}; runtime.num_workers is {num_workers}: "
                    "fewer need less memory, and with 0 the program reads by itself"
                ) from error
            if number + num_asked < len(plan):
                worker.ask(plan[number + num_asked])
            if isinstance(answer, Exception):
                raise answer
            yield answer


class _LostError(Exception):
    """A process will not answer any more; says why."""


class _Worker:
    """A process that reads, and the thread that receives from it."""

    def __init__(self, reader: Reader):
        self._pipe, other_end = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_serve, args=(reader, other_end))
        self._process.daemon = True
        self._process.start()
        other_end.close()  # the process alone has it, so that its end is seen here
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def ask(self, item: Any) -> None:
        """Ask for an item."""
        with contextlib.suppress(OSError):  # it has ended: `answer` says so
            self._pipe.send(item)

    def answer(self, what: str) -> Any:
        """Return the answer to the first question that is open, or the error of its reading.

        Raises:
            _LostError: If there will be none.
            OverdueStopError: If a signal to stop came, and the answer does not.
        """
        num_waits = num_halted = 0
        while True:
            try:
                answer = self._answers.get(timeout=POLL_SECONDS)
                break
            except queue.Empty:
                num_waits += 1
            if is_stop_overdue():
                raise OverdueStopError(f"{what} cannot be read")
            num_halted = num_halted + 1 if self._is_halted() else 0
            if num_halted * POLL_SECONDS >= HALTED_SECONDS:
                raise _LostError("is halted (SIGSTOP)")
            if num_waits * POLL_SECONDS == SLOW_SECONDS:
                logger.warning("waiting for %s, whose disk does not answer", what)
        if isinstance(answer, EOFError | OSError):
            raise _LostError(self._cause_of_death()) from answer
        return answer

    def kill(self) -> None:
        """Kill the process; `join` waits for its end."""
        self._process.kill()

    def join(self) -> None:
        """Wait for the end of the process, and of the thread."""
        self._process.join(_SECONDS_TO_END)
        self._receiver.join(_SECONDS_TO_END)
        self._pipe.close()

    def _receive(self) -> None:
        try:
            while True:
                self._answers.put(pickle.loads(self._pipe.recv_bytes()))
        except Exception as error:  # the process has ended, or an answer finds no memory
            self._answers.put(error)

    def _is_halted(self) -> bool:
        try:
            return psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:  # it has just ended
            return False

    def _cause_of_death(self) -> str:
        self._process.join(_SECONDS_TO_END)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"ended with status {code}"
        number = signal.Signals(-code)
        return f"was killed ({', '.join([number.name, *_CAUSES.get(number, [])])})"


@contextlib.contextmanager
def _started(reader: Reader, num_workers: int) -> Iterator[list[_Worker]]:
    """Start processes, and end them at once where the reading ends."""
    workers: list[_Worker] = []
    end = functools.partial(_end, workers)
    atexit.register(end)  # where the iteration is still going on at the exit
    try:
        for _ in range(num_workers):
            workers.append(_Worker(reader))
        yield workers
    finally:
        end()
        atexit.unregister(end)


def _end(workers: Sequence[_Worker]) -> None:
    """Kill what still reads, and wait for its end."""
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()


# --- in the process -------------------------------------------------------------------------------


def _serve(reader: Reader, pipe: Connection) -> None:
    """Answer questions until this process is killed; signals are its parent's."""
    leave_stopping_to_parent()
    die_with_parent()
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it was killed just before
        sys.exit(1)
    torch.set_num_threads(1)  # a forked process has none of the others
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            pipe.send_bytes(_pickled(_read(reader, pipe.recv())))


def _read(reader: Reader, item: Any) -> Any:
    """Read an item, or return what is wrong with it."""
    try:
        return reader[item]
    except (ValueError, MemoryError) as error:
        return error
    except Exception:  # a defect: where it stands is known here alone
        return RuntimeError(f"a process that reads ahead failed:\n{traceback.format_exc()}")


def _pickled(answer: Any) -> memoryview:
    """Return an answer as bytes; multiprocessing would hand tensors over in shared memory."""
    content = io.BytesIO()
    _Pickler(content, protocol=pickle.HIGHEST_PROTOCOL).dump(answer)
    return content.getbuffer()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented
