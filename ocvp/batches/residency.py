"""Where a training keeps its data: on the GPU, in main memory, or on disk.

A file of videos is small beside what training on it needs, so it is kept as near to the model as
it fits with room to spare. Main memory is what the machine, the job (control groups, by which
Slurm and containers limit memory) and the process (`ulimit -v`) still allow.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import psutil
import torch

from ocvp.batches.stored_field import StoredField
from ocvp.batches.windows import Residency

try:
    import resource
except ImportError:  # elsewhere than on Unix
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

DEVICE_SHARE = 1 / 4
"""Of a GPU's free memory that data may take; activations need the most."""

MEMORY_SHARE = 1 / 2
"""Of the free main memory that the copies of all processes may take together."""


def choose(
    residency: Literal["auto", "device", "memory", "disk"],
    sources: Iterable[Mapping[str, tuple[Path, str]]],
    device: torch.device | str,
    num_processes: int | None = None,
) -> Residency:
    """Choose where data are kept, and log it with their size and the free memory.

    Args:
        residency: `runtime.residency`; auto: on the device where that is a GPU and they take at
            most a quarter of its free memory, else in main memory where their copies take at most
            half of what is free, else on disk.
        sources: All that is kept together, as `WindowReader` takes it: for each reader, for each
            field the file and the name of its dataset. What several name counts once.
        device: Where the model is.
        num_processes: Processes on this machine that each keep a copy; None: as many as torchrun
            started here.

    Raises:
        ValueError: If a file is gone or damaged, naming it, or the data are to be kept on a GPU
            whose whole memory is smaller.
    """
    device = torch.device(device)
    num_processes = num_processes or int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    size = data_bytes(sources)
    free = free_memory(num_processes)
    free_on_device, total_on_device = device_memory(device)
    # --- the nearest place with room to spare -----------------------------------------------------
    chosen: Residency
    if residency != "auto":
        chosen = residency
    elif size <= DEVICE_SHARE * free_on_device:
        chosen = "device"
    else:
        chosen = "memory" if size <= MEMORY_SHARE * free else "disk"
    # --- what was asked for, and does not fit -----------------------------------------------------
    is_on_gpu = chosen == "device" and device.type == "cuda"
    if is_on_gpu and size > total_on_device:
        raise ValueError(
            f"runtime.residency is device, but the data take {as_text(size)} and {device} has "
            f"{as_text(total_on_device)} of memory; choose auto, memory or disk"
        )
    if not is_on_gpu and chosen != "disk" and size > free:
        logger.warning(
            "runtime.residency is %s, but the data take %s and only %s of main memory seem to be "
            "free%s; with auto they would be streamed from disk",
            *(chosen, as_text(size), as_text(free), _for_each(num_processes)),
        )
    # --- the choice, in words ---------------------------------------------------------------------
    if is_on_gpu:
        where = f"kept on {device} ({as_text(free_on_device)} of its memory are free)"
    else:
        place = "kept in memory" if chosen != "disk" else "streamed from disk"
        what = "" if chosen != "disk" else " of memory"
        where = f"{place} ({as_text(free)}{what} are free{_for_each(num_processes)})"
    logger.info("data: %s, %s", as_text(size), where)
    return chosen


def data_bytes(sources: Iterable[Mapping[str, tuple[Path, str]]]) -> int:
    """Return the size in memory of all that some readers read, without reading it.

    Raises:
        ValueError: If a file is gone or damaged, naming it.
    """
    datasets = {
        (path.resolve(), name): path for fields in sources for path, name in fields.values()
    }
    return sum(StoredField(path, name).num_bytes for (_, name), path in datasets.items())


def device_memory(device: torch.device) -> tuple[int, int]:
    """Return a GPU's free memory and all that it has, in bytes; 0 and 0 for another device."""
    return torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)


def free_memory(num_processes: int = 1, root: Path = Path("/")) -> int:
    """Return how many bytes of main memory this process may still take.

    Args:
        num_processes: Processes that share with it what the machine and the job have left.
        root: Where the system's `proc` and `sys` are.
    """
    job, own = job_memory(root), address_space()
    machine = psutil.virtual_memory().available
    shared = (machine if job is None else min(machine, job)) // num_processes
    return max(shared if own is None else min(shared, own), 0)


def address_space() -> int | None:
    """Return how much this process' memory may still grow (`ulimit -v`); None: unlimited."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return limit - psutil.Process().memory_info().vms


def job_memory(root: Path = Path("/")) -> int | None:
    """Return what this process' control group and those above it still allow, in bytes.

    Files that the system keeps in memory count as free, as it gives them up for others.

    Args:
        root: Where the system's `proc` and `sys` are.

    Returns:
        The least that one of them allows; None where none has a limit.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    mounts = root / "sys/fs/cgroup"
    left = []
    for line in lines:  # number:controllers:group (man 7 cgroups)
        _, controllers, group = line.split(":", 2)
        if controllers == "":  # version 2; beside version 1 it is mounted elsewhere
            for mount in (mounts, mounts / "unified"):
                left += [_left_of_version_2(folder) for folder in _upwards(mount, group)]
        elif "memory" in controllers.split(","):
            left += [_left_of_version_1(folder) for folder in _upwards(mounts / "memory", group)]
    return min((number for number in left if number is not None), default=None)


def _upwards(mount: Path, group: str) -> list[Path]:
    """Return the folders of a group and those above it.

    In a container the group may be named as outside of it, where it is the mount itself.
    """
    parts = [part for part in group.split("/") if part]
    if ".." in parts:  # outside of what is mounted
        parts = []
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _left_of_version_2(folder: Path) -> int | None:
    limits = [_number(folder / name) for name in ("memory.max", "memory.high")]
    return _left(folder, limits, "memory.current", ("inactive_file", "active_file"))


def _left_of_version_1(folder: Path) -> int | None:
    limits = [_number(folder / "memory.limit_in_bytes")]
    files = ("total_inactive_file", "total_active_file")
    return _left(folder, limits, "memory.usage_in_bytes", files)


def _left(folder: Path, limits: list[int | None], usage: str, files: tuple[str, str]) -> int | None:
    known = [limit for limit in limits if limit is not None]
    used = _number(folder / usage)
    if not known or used is None:
        return None
    try:
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    parts = dict(line.split() for line in lines)  # "inactive_file 4096", and so on
    # Files count as used, but the system gives them up for others.
    return min(known) - used + sum(int(parts.get(name, 0)) for name in files)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no such limit, or `max`
        return None


def as_text(num_bytes: float) -> str:
    """Return a size in decimal units, such as 1.1 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def _for_each(num_processes: int) -> str:
    return f" for each of {num_processes} processes" if num_processes > 1 else ""
