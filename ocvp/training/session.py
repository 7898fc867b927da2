"""How train_savi and train_predictor are started: options, log, lock, processes, device."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from ocvp.compute.device import prepare_device
from ocvp.compute.process_group import Group, check_devices, device_of_rank, joined
from ocvp.config.tree import Runtime
from ocvp.records.rules import RULES
from ocvp.runtime.files import check_writable
from ocvp.runtime.gpus import take_gpus
from ocvp.runtime.launch import is_launched_here, launch
from ocvp.runtime.lock import Lock
from ocvp.runtime.logs import is_rank, rank
from ocvp.runtime.program import read_runtime, read_section, start_logging
from ocvp.training.resume import lock_path


@dataclass(frozen=True)
class Session:
    """One start of a training program."""

    rule: str
    """The rule that the program stands behind."""
    args: argparse.Namespace
    """Its arguments: `output`, and those of `ocvp.runtime.program.add_training_options`."""
    argv: Sequence[str] | None
    """The same, not parsed; None: those of the command line."""
    stage: Any
    """The stage's config, with its part `training`."""
    runtime: Runtime
    """Where and how fast."""

    @property
    def resume_folder(self) -> Path:
        """Where the training keeps what it resumes from."""
        return self.args.output.parent / "resume"

    def lock(self) -> Lock:
        """Take the lock of the folder that the training writes to.

        Raises:
            ValueError: If another process has it, and is not to be waited for.
        """
        return Lock(lock_path(self.resume_folder), wait=self.args.wait)


def add_output(files: argparse._ArgumentGroup, name: str) -> None:
    """Add the option `--output` for a checkpoint that is usually called `name`."""
    files.add_argument(
        "--output",
        type=Path,
        required=True,
        help=f"checkpoint to write ({name}); its folder also takes the best or last weights, "
        "TensorBoard's files, and what an interrupted run resumes from",
    )


def start_session(
    rule: str, section: type[BaseModel], args: argparse.Namespace, argv: Sequence[str] | None
) -> Session:
    """Start the log, check that the output can be written, and read the config.

    Args:
        rule: The rule that the program stands behind.
        section: What `--config` must be.
        args: The program's arguments.
        argv: The same, not parsed.

    Raises:
        ValueError: If the config is not valid.
        OSError: If the log or the output cannot be written.
    """
    start_logging(args.log)
    check_writable(args.output)
    stage = read_section(section, args.config, "--config")
    stage = getattr(stage, "root", stage)  # where the section is a choice among kinds
    return Session(rule, args, argv, stage, read_runtime(args.runtime))


def launched(session: Session) -> int | None:
    """Start the processes that train together, where there are to be several.

    Returns:
        The exit status of the program; None in a process that trains itself.

    Raises:
        ValueError: If there are too few devices or videos in a batch, or another process is
            training into the same folder.
    """
    runtime, batch_size = session.runtime, session.stage.training.batch_size
    num_processes = runtime.processes or 1
    if is_rank() or num_processes == 1:
        return None
    # What can never train need not wait for the folder's lock.
    check_devices(runtime.device, num_processes)
    if num_processes > batch_size:
        raise ValueError(
            f"runtime.processes is {num_processes}, but training.batch_size is "
            f"{batch_size}: there is nothing to do for more processes than that"
        )
    with session.lock():
        if runtime.device != "cpu":
            take_gpus(num_processes, torch.cuda.device_count())  # the ranks inherit the choice
        return launch(RULES[session.rule].program, session.argv, num_processes)


@contextlib.contextmanager
def prepared(session: Session) -> Iterator[tuple[torch.device, Group]]:
    """Take the folder's lock, set up device and threads, and join the other processes.

    Raises:
        ValueError: If the device is not there, or another process is training into the folder.
    """
    settings = session.stage.training
    holds_lock = rank() == 0 and not is_launched_here()  # else the launcher does
    # Before anything is loaded: who waits must not take the memory of whom it waits for.
    with session.lock() if holds_lock else contextlib.nullcontext():
        name = device_of_rank(session.runtime.device)
        device = prepare_device(name, settings.num_threads, tf32=settings.tf32)
        with joined(device) as group:
            yield device, group
