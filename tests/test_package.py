"""What the package sets for the libraries that its programs load."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
from tiny import write_videos

from ocvp.videos import VideoFile

LOADED = """
import ctypes, os, sys
sys.modules.update(dict.fromkeys(sys.argv[3:]))
os.cpu_count = lambda: int(sys.argv[2])
import ocvp
ctypes.CDLL(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("variables", "loaded", "cores", "spins"),
    [
        ({}, [], 10_000, "20000"),
        ({}, [], -1, "2000"),  # more programs run than there are cores: this one
        ({"GOMP_SPINCOUNT": "7"}, [], 10_000, "7"),  # the user's own
        ({"OMP_WAIT_POLICY": "passive"}, [], 10_000, "0"),
        ({}, ["torch"], 10_000, "300000"),  # which is not told any more
        ({}, ["snakemake"], 10_000, "300000"),  # whose jobs see to it themselves
    ],
)
def test_threads_that_wait_spin_for_a_moment_only(variables, loaded, cores, spins):
    """As the library of threads that torch brings says at its start."""
    (library,) = (Path(torch.__file__).parent / "lib").glob("libgomp*.so*")
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    former = {name: value for name, value in os.environ.items() if name not in names}
    run = subprocess.run(
        [sys.executable, "-c", LOADED, library, str(cores), *loaded],
        env=former | {"OMP_DISPLAY_ENV": "verbose", "OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in run.stderr


def test_files_are_read_and_written_where_locks_cannot_be_had(tmp_path):
    """Another process holds the lock that HDF5 would take, which is refused as where there is none.

    Of files that are written to, a lock of one's own descriptor is another's too.
    """
    path = write_videos(tmp_path / "train.h5", num_videos=2)
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with VideoFile(path) as videos:
            assert videos.num_videos == 2
        with h5py.File(path, "r+") as written:
            assert "frames" in written
