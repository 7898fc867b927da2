"""Which GPUs a program takes on a machine whose GPUs no scheduler hands out.

Snakemake counts GPUs (`--resources gpu=2`) but does not say which one a job gets. So a program
locks those that it takes: two jobs side by side compute on two GPUs and not both on the first.
Where a scheduler shows each job its own GPUs, there is nothing to choose, and nothing changes.
"""

import fcntl
import logging
import os
import tempfile
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
logger = logging.getLogger(__name__)

_locks: list[TextIOWrapper] = []
"""Open files whose locks end with the process, however that comes."""


def take_gpus(num: int, num_visible: int, folder: Path | None = None) -> None:
    """Make only some of the visible GPUs visible, which no other process of this user has taken.

    Call it before CUDA is used. Nothing changes where there are no more than that, or where too few
    are free: then they are shared.

    Args:
        num: GPUs that are needed.
        num_visible: GPUs that torch sees.
        folder: Where the locks are; None: in the system's folder for temporary files.
    """
    if num_visible <= num:
        return
    temporary = Path(tempfile.gettempdir()) / f"ocvp-gpus-{os.getuid()}"
    shown = os.environ.get(VISIBLE)
    names = shown.split(",") if shown else [str(index) for index in range(num_visible)]
    try:
        # CUDA hides what follows a name that it does not know.
        taken = _locked(names[:num_visible], num, folder or temporary)
    except OSError as error:
        logger.warning("GPUs cannot be locked (%s); the first ones are used", error)
        return
    if taken:
        os.environ[VISIBLE] = ",".join(taken)
        logger.info("taking GPU %s of %d", ", ".join(taken), num_visible)
    else:
        logger.warning(
            "fewer than %d of %d GPUs are free; the first ones are shared", num, num_visible
        )


def _locked(names: Sequence[str], num: int, folder: Path) -> list[str]:
    """Lock the first free ones, all or none, and return their names."""
    folder.mkdir(mode=0o700, exist_ok=True)
    locks: dict[str, TextIOWrapper] = {}
    for name in names:
        # Names of parts of a GPU (MIG) may hold slashes.
        file = (folder / f"{name.replace('/', '_')}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        locks[name] = file
        if len(locks) == num:
            _locks.extend(locks.values())
            return list(locks)
    for file in locks.values():
        file.close()
    return []
