"""The processes that train one model together, each on its part of every batch.

A process of the group is a rank. `torchrun` or `ocvp.runtime.launch` starts the ranks and says in
their environment which they are; a program that neither started is a group of one, for which
everything here is free. Gradients go over NCCL between GPUs. What the ranks agree on goes over
gloo, from CPU to CPU: it waits for no kernel, and a rank notices at once when another
one has ended.
"""

import contextlib
import faulthandler
import inspect
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ocvp.runtime.interruption import die_with_parent
from ocvp.runtime.launch import LAUNCHER
from ocvp.runtime.logs import is_rank

T = TypeVar("T")
logger = logging.getLogger(__name__)

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others. They may be apart by what one does alone: compiling the
first step, reading a cold disk, drawing and writing files. A rank that ended is noticed at once."""

FAREWELL_SECONDS = 10
"""How long a rank may take to end after an error."""

_STOPPED_SECONDS = 3.0
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out")


@dataclass(frozen=True)
class Group:
    """What one rank knows of the group, and what it exchanges with the others.

    All ranks call the same methods in the same order. A method raises a RuntimeError where another
    rank has ended; `joined` makes it a ConnectionError.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of this rank among those on its machine."""

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, the one that writes files."""
        return self.rank == 0

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is true on any rank."""
        if self.size == 1:
            return flags
        values = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return tuple(bool(value) for value in values.tolist())

    def share(self, value: T | None) -> T:
        """Return rank 0's value, which can be pickled; that of the others does not count."""
        values: list[Any] = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def collect(self, value: T) -> list[T]:
        """Return the values of all ranks, which can be pickled, in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)  # over gloo: torch prefers the CPU where it may
        return values

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.agree(False)

    def share_of(self, items: Sequence[T]) -> Sequence[T]:
        """Return this rank's part of a batch (see `part_of`)."""
        return part_of(items, self.rank, self.size)

    def synchronised(self, module: nn.Module, device: torch.device | str) -> nn.Module:
        """Return a module whose backward passes average the gradients over the ranks.

        Only a call of the module itself counts (`module(...)`, not a method of the model in it), so
        give one whose `forward` computes the loss. Each rank calls it, and `backward`, as often as
        the others. To sum gradients over several calls first, hold back all but the last in
        `module.no_sync()`. Parameters are made equal to those of rank 0.

        Args:
            module: The module, with a parameter that needs a gradient.
            device: Where it is: the device that this rank joined with.

        Returns:
            DistributedDataParallel over the module; in a group of one, the module itself.
        """
        if self.size == 1:
            return module
        # Buffers are constants here. torch from 2.13 on calls the switch by another name.
        known = inspect.signature(DistributedDataParallel).parameters
        names = ("forward_sync_buffers", "broadcast_buffers")
        no_buffers: dict[str, Any] = {next(name for name in names if name in known): False}
        # find_unused_parameters: on clips of one frame a SAVi's transition gets no gradient, which
        # else is an error at the next step. Parameters that no rank used keep None, and the
        # optimiser skips them as it does in one process. It also keeps torch from regrouping the
        # gradients after the first step, so a resumed run sums them in the order of any other.
        # No device_ids: torch would then copy all inputs to the GPU, as the tasks do themselves.
        return DistributedDataParallel(
            module, find_unused_parameters=True, gradient_as_bucket_view=True, **no_buffers
        )


@contextlib.contextmanager
def joined(device: torch.device | str) -> Iterator[Group]:
    """Join the group of this run; outside of one, a group of one.

    Without an error, a rank leaves when all ranks are about to. After one, it leaves at once and
    tells nobody: the launcher ends the others, and they notice that the connection is closed.

    Args:
        device: Device of this rank (see `device_of_rank`).

    Raises:
        ConnectionError: If another rank ended, or did nothing for TIMEOUT.
    """
    if not is_rank():
        yield Group()
        return
    die_with_launcher()
    group = Group(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    if group.size == 1:
        yield group
        return
    is_gpu = torch.device(device).type == "cuda"
    if is_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if is_gpu else "gloo", timeout=TIMEOUT)
    try:
        yield group
        group.barrier()
    except BaseException as error:
        # The group is not destroyed: that would wait for what the others have not joined in.
        _limit_ending()
        if not _is_lost(error):
            raise
        logger.debug("lost the other processes: %s", error)
        _await_termination()
        raise ConnectionError(
            f"process {group.rank + 1} of {group.size} stopped, because another one has ended or "
            f"did not answer for {TIMEOUT.seconds // 60} minutes"
        ) from error
    dist.destroy_process_group()


def part_of(items: Sequence[T], number: int, num_parts: int) -> Sequence[T]:
    """Return one of the contiguous parts of a batch, whose sizes differ by at most one.

    In their order, the parts make up the batch. Earlier ones are larger; where there are fewer
    items than parts, the last ones are empty.

    Args:
        items: The batch.
        number: Which part, from 0.
        num_parts: How many parts.
    """
    size, rest = divmod(len(items), num_parts)
    start = number * size + min(number, rest)
    return items[start : start + size + (number < rest)]


def device_of_rank(name: str) -> str:
    """Return the device of this rank for `runtime.device`: a GPU each, where there are GPUs.

    Raises:
        ValueError: If the machine cannot give each of its ranks such a device.
    """
    if not is_rank() or os.environ["WORLD_SIZE"] == "1":
        return name
    kind = check_devices(name, int(os.environ["LOCAL_WORLD_SIZE"]))
    return f"cuda:{os.environ['LOCAL_RANK']}" if kind == "cuda" else kind


def check_devices(name: str, num_processes: int) -> str:
    """Return the kind of device, cuda or cpu, that each of several processes gets.

    Args:
        name: `runtime.device`: auto (GPUs where there are any), cpu or cuda.
        num_processes: Processes on this machine, at least 2.

    Raises:
        ValueError: If there are fewer GPUs than processes, or the device is one of its own.
    """
    num_gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if num_gpus else "cpu"
    if name not in ("cuda", "cpu"):
        raise ValueError(
            f"runtime.device is {name} for {num_processes} processes, which cannot share it; "
            "choose cuda (a GPU for each), cpu or auto, or runtime.processes: 1"
        )
    if name == "cuda" and num_gpus < num_processes:
        raise ValueError(
            f"runtime.processes asks for {num_processes} processes on this machine, and each needs "
            f"a GPU of its own, but torch sees {num_gpus} CUDA devices; choose at most that many "
            "processes, or runtime.device: cpu"
        )
    return name


def die_with_launcher() -> None:
    """End this process when the launcher ends, however that ends (see `die_with_parent`).

    Raises:
        ConnectionError: If the launcher has ended already.
    """
    launcher = int(os.environ.get(LAUNCHER, os.getppid()))  # torchrun does not say its number
    die_with_parent()
    if os.getppid() != launcher:  # it ended before the kernel knew
        raise ConnectionError("the process that launched this one has ended")


def _is_lost(error: BaseException) -> bool:
    """Return whether an error says that another rank is gone."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and "gloo" in text and any(x in text for x in _LOST)


def _limit_ending() -> None:
    """Let the system end this process, should anything hold up its own ending.

    The others learn of its failure by its end only, and parts of torch wait for the others.
    """
    silence = Path(os.devnull).open("w")  # noqa: SIM115 - open until the end
    faulthandler.dump_traceback_later(FAREWELL_SECONDS, exit=True, file=silence)


def _await_termination() -> None:
    """Wait for the launcher to stop this rank, whose failure is only that another one failed.

    Else it could end before the launcher saw the other one, and be taken for the cause.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(_STOPPED_SECONDS)
