"""Small trainings, and what tests ask of how they went."""

import itertools
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from forked import Program, server
from snakemake_runs import PROJECT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import (
    CPU,
    command,
    predictor_stage,
    quiet_environment,
    savi_stage,
    write_random_slots,
    write_savi,
    write_videos,
)

from ocvp.models.checkpoint import read_checkpoint


def write_data(folder):
    """Write videos, a SAVi, and slots in its name."""
    write_videos(folder / "train.h5", num_videos=5)
    write_videos(folder / "val.h5", num_videos=3, first=10)
    savi = write_savi(folder / "savi.pt")
    write_random_slots(folder / "slots" / "train.h5", savi, num_videos=5)
    write_random_slots(folder / "slots" / "val.h5", savi, num_videos=3, seed=1)
    return folder


def savi_arguments(folder, output, stage=None, **runtime):
    """Return the arguments of train_savi on the data of `write_data`."""
    return [
        *("--config", stage or savi_stage(), "--runtime", CPU | runtime, "--seed", 7),
        *("--train", folder / "train.h5", "--val", folder / "val.h5"),
        *("--output", output / "savi.pt"),
    ]


def predictor_arguments(folder, output, stage=None, **runtime):
    """Return the arguments of train_predictor on the data of `write_data`."""
    splits = itertools.chain.from_iterable(
        (f"--{split}", folder / f"{split}.h5", folder / "slots" / f"{split}.h5")
        for split in ("train", "val")
    )
    return [
        *("--config", stage or predictor_stage(), "--runtime", CPU | runtime, "--seed", 7),
        *("--savi", folder / "savi.pt", *splits, "--output", output / "predictor.pt"),
    ]


def digests(folder):
    """Return the digests of all weights of a training, best and last."""
    return {
        path.name: read_checkpoint(path, ("savi", "lstm", "ocvp_seq"))["weights_digest"]
        for path in sorted(folder.glob("*.pt"))
    }


def curves(folder):
    """Return each curve as [(step, value)], read as TensorBoard reads it, and pictures' steps."""
    events = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0, "images": 0}).Reload()
    tags = events.Tags()
    return (
        {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]},
        {tag: [e.step for e in events.Images(tag)] for tag in tags["images"]},
    )


class Started(Program):
    """A program that was started, and what it says."""

    def __init__(self, words: Sequence[str], environment: dict[str, str]) -> None:
        with tempfile.TemporaryFile() as output:
            self._errors = os.dup(output.fileno())
            super().__init__(server(), words[1:], environment, (0, 1, self._errors))

    def said(self) -> str:
        """Return what stands in its standard error."""
        size = os.fstat(self._errors).st_size
        return os.pread(self._errors, size, 0).decode()


def start(module: str, *arguments: Any, at: dict[str, Any] | None = None) -> Started:
    """Start a program in a process of its own; `at`: what happens to it (killed.py)."""
    words = command(module, *arguments)
    if at is not None:
        driver = [PROJECT / "tests/helpers" / "killed.py", module, json.dumps(at)]
        words[1:3] = map(str, driver)
    paths = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    return Started(words, quiet_environment() | {"PYTHONPATH": paths})


def ended(process: Started, timeout: float = 120) -> tuple[int, str]:
    """Return the exit status of a process (negative: the signal that killed it) and its stderr."""
    return process.wait(timeout), process.said()


def wait_until(condition, seconds=60.0):
    """Wait until something holds, and return what it is."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


def holder(folder: Path) -> int:
    """Return the number of the process that is training into a folder; 0 if none is."""
    try:
        return int(json.loads((folder / "resume.lock").read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return 0


def of_both(folder: Path, name: str) -> list[Any]:
    """Return what each of two processes wrote into a folder under a name."""
    return [json.loads((folder / f"{name}{rank}").read_text()) for rank in range(2)]


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
