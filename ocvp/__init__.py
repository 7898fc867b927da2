"""Object-centric video prediction: SAVi video decomposition and slot predictors."""

import os
import sys
import time
from pathlib import Path

_LOAD = Path("/proc/loadavg")


def _spins() -> str:
    """Return for how many turns PyTorch's threads spin while they wait for one another.

    The library's own 300,000 stall a training whose threads share their cores with other programs:
    they spin while the one they wait for has no core. Where nobody else computes, threads that
    sleep soon cost a tenth of the speed (docs/training.md).
    """
    running = []
    for _ in range(3):  # some run for a moment only
        running.append(int(_LOAD.read_text().split()[3].split("/")[0]))  # this program too
        time.sleep(0.001)
    return "2000" if min(running) > (os.cpu_count() or 1) else "20000"


# What libraries read when they are loaded; a value that the user has set stays. Snakemake does not
# compute, and its jobs look for themselves, perhaps on another machine.
_loaded = {"torch", "snakemake"} & set(sys.modules)
_chosen = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ)
if _LOAD.exists() and not _loaded and not _chosen:
    os.environ["GOMP_SPINCOUNT"] = _spins()
# Files are written under other names and renamed, so nobody reads what another one writes; and some
# network disks have no locks.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
