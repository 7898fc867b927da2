"""Start a program in several processes on this machine, and end them together.

The ranks are started by what `torchrun` calls. Here is what it leaves to its caller: how long the
ranks get to save, what a second signal does, what is said of one that failed, and that none
remains. On several machines, `torchrun` itself starts the programs (see docs/training.md).
"""

import contextlib
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Self

from ocvp.runtime.interruption import ONE_SIGNAL_SECONDS, SIGNALS
from ocvp.runtime.logs import is_rank

logger = logging.getLogger(__name__)

STOP_SECONDS = 600
"""How long ranks get to finish their step and save, after a signal of the user."""

FAILURE_SECONDS = 10
"""How long ranks get to end after another one failed, with which they may be waiting for ever."""

LAUNCHER = "OCVP_LAUNCHER"
"""Name of the environment variable that tells a rank the number of its launcher's process."""


def is_launched_here() -> bool:
    """Return whether `launch` started this process, and not torchrun itself."""
    return is_rank() and LAUNCHER in os.environ


def launch(module: str, argv: Sequence[str] | None, num_processes: int) -> int:
    """Run `python -m module argv...` in several ranks, and wait for them.

    A signal (Ctrl-C, termination) is passed on to the ranks, which end by themselves; one that
    comes more than 2 seconds later kills them. When a rank fails, the others are stopped.

    Args:
        module: The program, for example "ocvp.train_savi".
        argv: Its arguments; None: those of this process.
        num_processes: Ranks to start, at least 1.

    Returns:
        The exit status: 0; 128 and its number after a signal; else that of the rank that failed
        first (128 and the signal's number, where a signal killed it).
    """
    # Here, as a program with one process does without them.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    words = sys.argv[1:] if argv is None else argv
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        local_addr="localhost",  # the machine's own name need not resolve
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),  # the ranks have our stdout and stderr
        signals_to_handle="SIGUSR2",  # torch's own handlers know no second signal
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment_of_ranks())
        stack.enter_context(_quiet_elastic())
        ranks = stack.enter_context(_Ranks())
        try:
            # torch replaces ${local_rank} and $$ in arguments.
            elastic_launch(config, sys.executable)(
                "-m", module, *(word.replace("$", "$$") for word in words)
            )
        except SignalException as stop:
            ranks.kill()
            return 128 + stop.sigval
        except ChildFailedError as failure:
            number, first = failure.get_first_failure()
            logger.error(
                "%s; the others were stopped", _ending(number, num_processes, first.exitcode)
            )
            ranks.kill()
            return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
        except BaseException:
            ranks.kill()
            raise
    return 0


class _Ranks:
    """The processes that torch started: how signals reach them, how long they get, their end."""

    def __init__(self) -> None:
        self._pids: list[int] = []
        self._first_signal: float | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._patience())
        for number in SIGNALS:
            if (former := signal.getsignal(number)) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
                self._stack.callback(signal.signal, number, former)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kill(self) -> None:
        """Kill what is left of the ranks, with the processes that read data for them."""
        for pid in self._pids:  # each leads a process group
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """Let torch wait as long for the ranks to end as the reason asks for.

        It waits 30 s whatever the reason, or in newer versions what LaunchConfig says, but not when
        a rank failed. Called where torch ends the ranks for any reason, and also learns which.
        """
        from torch.distributed.elastic.multiprocessing import PContext

        context: Any = PContext
        original = context.close

        def close(
            ranks: PContext, death_sig: signal.Signals | None = None, timeout: float = 0.0
        ) -> None:
            self._pids = list(ranks.pids().values())
            is_stop = self._first_signal is not None
            original(ranks, death_sig, STOP_SECONDS if is_stop else FAILURE_SECONDS)

        context.close = close
        try:
            yield
        finally:
            context.close = original

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        from torch.distributed.elastic.multiprocessing import SignalException

        now = time.monotonic()
        if self._first_signal is None:
            self._first_signal = now
            raise SignalException("stopped", sigval=signal.Signals(number))
        if now - self._first_signal > ONE_SIGNAL_SECONDS:
            # The system's own call: the signal may have come while Python was writing to stderr.
            os.write(2, b"stopped at once; the same command goes on from what was last saved\n")
            self.kill()
            os._exit(128 + number)  # ranks that torch has not told us of die with this process


def _ending(number: int, num_processes: int, exitcode: int) -> str:
    """Say how a rank ended."""
    who = f"process {number + 1} of {num_processes}"
    if exitcode < 0:
        return f"{who} was killed by {signal.Signals(-exitcode).name}"
    return f"{who} failed (exit status {exitcode}, see above)"


@contextlib.contextmanager
def _environment_of_ranks() -> Iterator[None]:
    """Tell the ranks who launched them, and keep torch's C++ parts to their errors.

    Else DistributedDataParallel warns once in each rank that it looks for unused parameters, which
    is intended (`ocvp.compute.process_group`).
    """
    former = dict(os.environ)
    os.environ[LAUNCHER] = str(os.getpid())
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


@contextlib.contextmanager
def _quiet_elastic() -> Iterator[None]:
    """Hide torch's records of starting and stopping ranks; failures are exceptions as well."""
    elastic = logging.getLogger("torch.distributed.elastic")
    handler, elastic.propagate = logging.NullHandler(), False
    elastic.addHandler(handler)
    try:
        yield
    finally:
        elastic.removeHandler(handler)
        elastic.propagate = True
