"""What train_savi and train_predictor share: processes, device, resuming, and what they write."""

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocvp.compute.device import prepare_device
from ocvp.compute.process_group import Group, check_devices, device_of_rank, joined
from ocvp.compute.randomness import derived_seed
from ocvp.config.tree import Runtime
from ocvp.models.checkpoint import start_from
from ocvp.records.origins import files_digest, write_record
from ocvp.records.records import TRAINING_TIME, Inputs, Making, paths_of
from ocvp.runtime.files import write_json
from ocvp.runtime.gpus import take_gpus
from ocvp.runtime.launch import is_launched_here, launch
from ocvp.runtime.lock import Lock
from ocvp.runtime.program import also_logged, companion, is_rank, rank
from ocvp.training.loop import train
from ocvp.training.resume import ResumeFolder, fingerprint, lock_path
from ocvp.training.saves import save_training
from ocvp.training.setup import Setup
from ocvp.training.state import TrainingState
from ocvp.training.task import Task


@dataclass(frozen=True)
class Session:
    """One start of a training program."""

    rule: str
    """The rule that the program stands behind."""
    program: str
    """The program's module, for example `ocvp.train_savi`."""
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


@dataclass(frozen=True)
class Subject:
    """What a session trains."""

    task: Task
    """The model, and what it is trained on."""
    kind: str
    """What the checkpoint holds."""
    model: Mapping[str, Any]
    """The arguments that made the model."""
    inputs: Inputs
    """What is read, by role; the run depends on what is trained on, `train` and `val`."""
    start: str | None
    """weights_digest of what the training starts from; None: random weights."""
    content: dict[str, Any] = field(default_factory=dict)
    """Further entries of the checkpoint that the run depends on."""


def run_training(session: Session, load: Callable[[Session, torch.device], Subject]) -> int:
    """Train in as many processes as there are to be, and write a checkpoint.

    Args:
        session: How the program was started.
        load: Loads the data and builds the model, in each process on its device.

    Returns:
        The exit status of the program.

    Raises:
        ValueError: If the device is not there, there are too few of them or too few videos in a
            batch, or another process is training into the same folder.
    """
    if (status := _launched(session)) is not None:
        return status
    checkpoint = session.args.checkpoint
    origin = files_digest([checkpoint]) if checkpoint else ""  # as it is before it is read
    with _prepared(session) as (device, group):
        _train_and_save(session, load(session, device), group, origin)
    return 0


def initialised(
    module_class: Callable[..., nn.Module],
    kind: str,
    model: Mapping[str, Any],
    session: Session,
    device: torch.device,
) -> tuple[Any, str | None]:
    """Build a model with the weights that its training starts from.

    Args:
        module_class: Its class.
        kind: What a checkpoint of it holds.
        model: The class' arguments.
        session: Gives the seed, or the checkpoint that the training starts from.
        device: Where the model goes.

    Returns:
        The model, and the weights_digest of that checkpoint; None for random weights.

    Raises:
        ValueError: If the checkpoint does not fit.
    """
    torch.manual_seed(derived_seed(session.args.seed, "initialisation"))
    module = module_class(**model).to(device)
    checkpoint = session.args.checkpoint
    return module, start_from(module, checkpoint, kind, model) if checkpoint else None


def _launched(session: Session) -> int | None:
    """Start the processes that train together; None in a process that trains itself."""
    runtime, batch_size = session.runtime, session.stage.training.batch_size
    num_processes = runtime.processes or 1
    if is_rank() or num_processes == 1:
        return None
    check_devices(runtime.device, num_processes)
    if num_processes > batch_size:
        raise ValueError(
            f"runtime.processes is {num_processes}, but training.batch_size is "
            f"{batch_size}: there is nothing to do for more processes than that"
        )
    with session.lock():
        if runtime.device != "cpu":
            take_gpus(num_processes, torch.cuda.device_count())
        return launch(session.program, session.argv, num_processes)


@contextlib.contextmanager
def _prepared(session: Session) -> Iterator[tuple[torch.device, Group]]:
    """Take the folder's lock, set up device and threads, and join the other processes."""
    settings = session.stage.training
    with contextlib.ExitStack() as stack:
        # Before anything is loaded: who waits must not take the memory of whom it waits for.
        if rank() == 0 and not is_launched_here():
            stack.enter_context(session.lock())
        name = device_of_rank(session.runtime.device)
        device = prepare_device(name, settings.num_threads, tf32=settings.tf32)
        yield device, stack.enter_context(joined(device))


def _train_and_save(session: Session, subject: Subject, group: Group, origin: str) -> None:
    """Train, or go on with a training, and write the checkpoint and what accompanies it."""
    args, stage = session.args, session.stage
    making = Making(session.rule, session.argv)
    inputs = {"origin": args.checkpoint, **subject.inputs}
    data = [path for role in ("train", "val") for path in paths_of(inputs[role])]
    with contextlib.ExitStack() as stack:
        resume: ResumeFolder | None = None
        run_of: dict[str, Any] = {"inputs": []}
        if group.is_first:
            # Over all sessions of the run, while --log is the last one's.
            stack.enter_context(also_logged(args.output.parent / "training.log"))
            run_of = fingerprint(session.rule, stage, args.seed, data) | subject.content
            run_of |= {"start": subject.start} if subject.start else {}
            folder = ResumeFolder(
                session.resume_folder,
                run_of,
                fresh=args.fresh,
                extend=session.runtime.extend,  # of a whole study: some inputs are others
                must_extend=args.extend,
                lock=False,  # `_prepared` or the launcher has it
            )
            resume = stack.enter_context(folder)
            making.read(inputs, dict(zip(data, run_of["inputs"], strict=True)))
        setup = Setup(
            subject.task,
            stage.training,
            session.runtime,
            args.seed,
            folder=args.output.parent / "tensorboard",
            resume=resume,
            group=group,
            description="SAVi" if subject.kind == "savi" else subject.kind,
        )
        state = train(setup)
        if not group.is_first:
            return
        products = save_training(
            args.output,
            state,
            last_weights=subject.task.module.state_dict(),
            select=stage.training.select,
            kind=subject.kind,
            model=dict(subject.model),
            config=stage,
            seed=args.seed,
            sources=run_of["inputs"],
            **subject.content,
        )
    write_record(args.output, args.checkpoint, digest=origin)
    _finish(session, making, state, products)


def _finish(
    session: Session, making: Making, state: TrainingState, products: Sequence[Path]
) -> None:
    """Write how long the training took, and the record of all that it made."""
    made_by = state.sessions[-1]["made_by"]  # what trained it, not what writes it again
    took: dict[str, Any] = {"steps": state.step, "epochs": state.epoch, "examples": state.examples}
    took |= {"seconds": round(state.seconds, 1), "device": made_by["device"]}
    times = companion(session.args.output, TRAINING_TIME)
    write_json(times, took)
    making.finish(
        [*products, times],
        session.stage,
        seed=session.args.seed,
        seconds=took["seconds"],  # of all sessions
        made_by=made_by,
    )
