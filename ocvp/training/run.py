"""One run of train_savi or train_predictor: from a model and its data to what is written."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocvp.compute.process_group import Group
from ocvp.compute.randomness import derived_seed
from ocvp.models.loading import start_from
from ocvp.records.origins import files_digest, write_record
from ocvp.records.records import Inputs, Making, paths_of
from ocvp.runtime.files import all_or_none
from ocvp.runtime.logs import also_logged
from ocvp.training.loop import train
from ocvp.training.resume import ResumeFolder, fingerprint
from ocvp.training.saves import save_training, training_products
from ocvp.training.session import Session, launched, prepared
from ocvp.training.setup import Setup
from ocvp.training.task import Task


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
    digests: dict[Path, str] = field(default_factory=dict)
    """weights_digest of other checkpoints among the inputs."""


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
    if (status := launched(session)) is not None:
        return status
    checkpoint = session.args.checkpoint
    origin = files_digest([checkpoint]) if checkpoint else ""  # as it is before it is read
    with prepared(session) as (device, group):
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
    # Also where a checkpoint replaces the weights: then what it draws is thrown away.
    torch.manual_seed(derived_seed(session.args.seed, "initialisation"))
    module = module_class(**model).to(device)
    checkpoint = session.args.checkpoint
    return module, start_from(module, checkpoint, kind, model) if checkpoint else None


def _train_and_save(session: Session, subject: Subject, group: Group, origin: str) -> None:
    """Train, or go on with a training, and write the checkpoint and what accompanies it."""
    args, stage = session.args, session.stage
    setup = Setup(
        subject.task,
        stage.training,
        session.runtime,
        args.seed,
        folder=args.output.parent / "tensorboard",
        group=group,
        description="SAVi" if subject.kind == "savi" else subject.kind,
    )
    if not group.is_first:  # it computes; the first process alone reads and writes records
        train(setup)
        return
    making = Making(session.rule, session.argv)  # before the training: sources may be edited in it
    inputs = {"origin": args.checkpoint, **subject.inputs}
    data = [path for role in ("train", "val") for path in paths_of(inputs[role])]
    # Over all sessions of the run, while --log is the last one's.
    with also_logged(args.output.parent / "training.log"):
        # --- is it a run that was begun before? ---------------------------------------------------
        start = {"start": subject.start} if subject.start else {}
        identity = fingerprint(session.rule, stage, setup.precision, args.seed, data)
        identity |= subject.content | start
        resume = ResumeFolder(
            session.resume_folder,
            identity,
            fresh=args.fresh,
            # Asked of a whole study, where a training may have other inputs now: it starts anew.
            extend=session.runtime.extend,
            must_extend=args.extend,
            is_auto=stage.training.precision == "auto",
        )
        # What was read already is not read again: the data, and the weights of checkpoints.
        known = dict(zip(data, identity["inputs"], strict=True)) | subject.digests
        making.read(inputs, known | ({args.checkpoint: subject.start} if subject.start else {}))
        state = train(dataclasses.replace(setup, resume=resume))
        # --- what it made -------------------------------------------------------------------------
        products = training_products(args.output, stage.training.select)
        with all_or_none(products):
            save_training(
                products,
                state,
                last_weights=subject.task.module.state_dict(),
                select=stage.training.select,
                kind=subject.kind,
                model=dict(subject.model),
                config=stage,
                seed=args.seed,
                sources=identity["inputs"],
                **subject.content,
            )
            write_record(args.output, args.checkpoint, digest=origin)
            # The seconds of all sessions, and what trained it, which may not be what writes it.
            seconds = round(state.seconds, 1)
            making.finish(
                products,
                stage,
                seed=args.seed,
                seconds=seconds,
                made_by=state.made_by,
                precision=setup.precision,
            )
