"""Start a program in several processes on this machine, and end them together.

The ranks are started and watched by the class that `torchrun` has for it. Here is what it leaves to
others: what the ranks are told, how long they get to save, what a second signal does, what is said
of one that failed, and that none remains. On several machines, `torchrun` itself starts the
programs (see docs/training.md).
"""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from torch.distributed import TCPStore
from torch.distributed.elastic.multiprocessing import (
    DefaultLogsSpecs,
    SignalException,
    SubprocessContext,
)
from torch.distributed.launcher.api import LaunchConfig

from ocvp.runtime.interruption import ONE_SIGNAL_SECONDS, signals_to
from ocvp.runtime.logs import is_rank

logger = logging.getLogger(__name__)

STOP_SECONDS = 600
"""How long ranks get to finish their step and save, after a signal of the user."""

FAILURE_SECONDS = 10
"""How long ranks get to end after another one failed, with which they may be waiting for ever."""

POLL_SECONDS = 0.1
"""How often the launcher looks whether a rank has ended."""

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
    words = sys.argv[1:] if argv is None else argv
    ranks = _Ranks(module, words, num_processes)
    with signals_to(ranks.on_signal):
        try:
            ranks.start()
            result = ranks.wait(period=POLL_SECONDS)
        except SignalException as stop:
            ranks.close(stop.sigval)
            return 128 + stop.sigval
        finally:
            ranks.kill()  # none of them remains
    failures = result.failures if result else {}
    if not failures:
        return 0
    number, failure = next(iter(failures.items()))  # the one that was seen first
    logger.error("%s; the others were stopped", _ending(number, num_processes, failure.exitcode))
    return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode


class _Ranks(SubprocessContext):
    """The processes of one launch; `on_signal` is the handler of signals that are for them."""

    def __init__(self, module: str, words: Sequence[str], num_processes: int):
        # Where the ranks find one another: any free port, held before they are told of it.
        self._store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        logs = DefaultLogsSpecs(log_dir=os.devnull)  # the ranks have our stdout and stderr
        safe_path = ("-P",) if sys.flags.safe_path else ()  # import from where we do
        super().__init__(
            name=module,
            entrypoint=sys.executable,
            args={rank: (*safe_path, "-m", module, *words) for rank in range(num_processes)},
            envs={
                rank: _environment(rank, num_processes, self._store.port)
                for rank in range(num_processes)
            },
            logs_specs=logs,
            # torchrun's choice: each rank on the processors near its GPU.
            numa_options=LaunchConfig(1, 1, num_processes, logs).numa_options,
        )
        # What it says of stopping ranks and of failures is said here in other words.
        logging.getLogger(SubprocessContext.__module__).disabled = True
        self._first_signal: float | None = None

    def start(self) -> None:
        """Start the ranks, without torch's handlers of signals, which know no second one."""
        self._start()

    def close(self, death_sig: signal.Signals | None = None, timeout: int = 0) -> None:
        """End the ranks; how long that may take depends on the reason.

        torch calls it where a rank failed, with a time that nothing sets.
        """
        is_stop = self._first_signal is not None
        super().close(death_sig, STOP_SECONDS if is_stop else FAILURE_SECONDS)

    def kill(self) -> None:
        """Kill what is left of the ranks, with the processes that read data for them."""
        for pid in self.pids().values():  # each leads a process group
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the waiting once; a later signal ends all."""
        now = time.monotonic()
        if self._first_signal is None:
            self._first_signal = now
            raise SignalException("stopped", sigval=signal.Signals(number))
        if now - self._first_signal > ONE_SIGNAL_SECONDS:
            # The system's own call: the signal may have come while Python was writing to stderr.
            os.write(2, b"stopped at once; the same command goes on from what was last saved\n")
            self.kill()
            os._exit(128 + number)  # ranks that are just being started die with this process


def _environment(rank: int, num_processes: int, port: int) -> dict[str, str]:
    """Return what a rank is told: what torchrun tells its own, and who launched it."""
    number, size = str(rank), str(num_processes)
    return {
        "RANK": number,
        "LOCAL_RANK": number,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": "localhost",  # the machine's own name need not resolve
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "ocvp",
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the launcher holds the port, not rank 0
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),
        # Else DistributedDataParallel warns once in each rank that it looks for unused parameters,
        # which is intended (`ocvp.compute.process_group`).
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        LAUNCHER: str(os.getpid()),
    }


def _ending(number: int, num_processes: int, exitcode: int) -> str:
    """Say how a rank ended."""
    who = f"process {number + 1} of {num_processes}"
    if exitcode < 0:
        return f"{who} was killed by {signal.Signals(-exitcode).name}"
    return f"{who} failed (exit status {exitcode}, see above)"
