"""Where a training keeps its data: on the GPU, in main memory, or on disk.

A file of videos is small beside what training on it needs, so it is kept as near to the model as
it fits with room to spare.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import torch

from ocvp.batches.stored_field import StoredField
from ocvp.batches.windows import Residency
from ocvp.compute.memory import free_memory

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
    is_gpu = device.type == "cuda"
    free_on_device, total_on_device = torch.cuda.mem_get_info(device) if is_gpu else (0, 0)
    each = f" for each of {num_processes} processes" if num_processes > 1 else ""
    # --- the nearest place with room to spare -----------------------------------------------------
    chosen: Residency
    if residency != "auto":
        chosen = residency
    elif size <= DEVICE_SHARE * free_on_device:
        chosen = "device"
    else:
        chosen = "memory" if size <= MEMORY_SHARE * free else "disk"
    # --- what was asked for, and does not fit -----------------------------------------------------
    is_on_gpu = chosen == "device" and is_gpu
    if is_on_gpu and size > total_on_device:
        raise ValueError(
            f"runtime.residency is device, but the data take {as_text(size)} and {device} has "
            f"{as_text(total_on_device)} of memory; choose auto, memory or disk"
        )
    if not is_on_gpu and chosen != "disk" and size > free:
        logger.warning(
            "runtime.residency is %s, but the data take %s and only %s of main memory seem to be "
            "free%s; with auto they would be streamed from disk",
            *(chosen, as_text(size), as_text(free), each),
        )
    # --- the choice, in words ---------------------------------------------------------------------
    if is_on_gpu:
        where = f"kept on {device} ({as_text(free_on_device)} of its memory are free)"
    elif chosen == "disk":
        where = f"streamed from disk ({as_text(free)} of memory are free{each})"
    else:
        where = f"kept in memory ({as_text(free)} are free{each})"
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


def as_text(num_bytes: float) -> str:
    """Return a size in decimal units, such as 1.1 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"
