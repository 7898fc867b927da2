"""How much main memory a program may still take.

That is what the machine, the job (control groups, by which Slurm and containers limit memory) and
the process (`ulimit -v`) still allow.
"""

import resource
from collections.abc import Sequence
from pathlib import Path

import psutil

# Of a control group: its limits, what it uses, and what of that are files in memory.
VERSION_1 = (
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
VERSION_2 = (("memory.max", "memory.high"), "memory.current", ("inactive_file", "active_file"))


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
                left += [_left(folder, *VERSION_2) for folder in _upwards(mount, group)]
        elif "memory" in controllers.split(","):
            left += [_left(folder, *VERSION_1) for folder in _upwards(mounts / "memory", group)]
    return min((number for number in left if number is not None), default=None)


def _upwards(mount: Path, group: str) -> list[Path]:
    """Return the folders of a group and those above it.

    In a container the group may be named as outside of it, where it is the mount itself.
    """
    parts = [part for part in group.split("/") if part]
    if ".." in parts:  # outside of what is mounted
        parts = []
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _left(folder: Path, limits: Sequence[str], usage: str, cached: Sequence[str]) -> int | None:
    """Return what one group still allows, by the names of its version; None: it has no limit."""
    known = [limit for name in limits if (limit := _number(folder / name)) is not None]
    used = _number(folder / usage)
    if not known or used is None:
        return None
    try:
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    parts = dict(line.split() for line in lines)  # "inactive_file 4096", and so on
    # Files count as used, but the system gives them up for others.
    return min(known) - used + sum(int(parts.get(name, 0)) for name in cached)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no such limit, or `max`
        return None
