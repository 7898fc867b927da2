"""What train_savi and train_predictor share: processes, device, resuming, and what they write."""

import argparse
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ocvp.compute.device import prepare_device
from ocvp.compute.process_group import Group, check_devices, device_of_rank, joined
from ocvp.config.entries import Training
from ocvp.config.tree import Runtime
from ocvp.models.checkpoint import save_training
from ocvp.records.origins import write_record
from ocvp.records.records import TRAINING_TIME, Inputs, Making, paths_of
from ocvp.runtime.files import companion, write_json
from ocvp.runtime.gpus import take_gpus
from ocvp.runtime.launch import is_launched_here, launch
from ocvp.runtime.lock import Lock
from ocvp.runtime.logs import also_logged, is_rank, rank
from ocvp.training.loop import train
from ocvp.training.resume import ResumeFolder, fingerprint, lock_path
from ocvp.training.task import Task


def launched(
    module: str,
    argv: Sequence[str] | None,
    args: argparse.Namespace,
    runtime: Runtime,
    settings: Training,
) -> int | None:
    """Start the processes that train together, where there are to be several.

    Args:
        module: The program's module, for example `ocvp.train_savi`.
        argv: Its arguments; None: those of the command line.
        args: The same, parsed.
        runtime: Says how many processes.
        settings: The training's settings.

    Returns:
        The exit status of the program; None in a process that trains itself.

    Raises:
        ValueError: If there are too few devices or videos in a batch, or another process is
            training into the same folder.
    """
    num_processes = runtime.processes or 1
    if is_rank() or num_processes == 1:
        return None
    check_devices(runtime.device, num_processes)
    if num_processes > settings.batch_size:
        raise ValueError(
            f"runtime.processes is {num_processes}, but training.batch_size is "
            f"{settings.batch_size}: there is nothing to do for more processes than that"
        )
    with Lock(lock_path(resume_folder(args.output)), wait=args.wait):
        if runtime.device != "cpu":
            take_gpus(num_processes, torch.cuda.device_count())
        return launch(module, argv, num_processes)


def resume_folder(output: Path) -> Path:
    """Return where a training keeps what it resumes from."""
    return output.parent / "resume"


@contextlib.contextmanager
def prepared(
    args: argparse.Namespace, runtime: Runtime, settings: Training
) -> Iterator[tuple[torch.device, Group]]:
    """Take the folder's lock, set up device and threads, and join the others that train together.

    Raises:
        ValueError: If the device is not there, or another process is training into the folder.
    """
    with contextlib.ExitStack() as stack:
        # Before anything is loaded: who waits must not take the memory of whom it waits for.
        if rank() == 0 and not is_launched_here():
            stack.enter_context(Lock(lock_path(resume_folder(args.output)), wait=args.wait))
        name = device_of_rank(runtime.device)
        device = prepare_device(name, settings.num_threads, tf32=settings.tf32)
        yield device, stack.enter_context(joined(device))


def train_and_save(
    task: Task,
    stage: Any,
    runtime: Runtime,
    args: argparse.Namespace,
    argv: Sequence[str] | None,
    group: Group,
    *,
    rule: str,
    kind: str,
    model: Mapping[str, Any],
    inputs: Inputs,
    start: str | None,
    origin: str,
    **content: Any,
) -> None:
    """Train, or go on with a training, and write the checkpoint and what accompanies it.

    Args:
        task: What is trained.
        stage: The stage's config.
        runtime: Where and how fast.
        args: The program's arguments (`ocvp.runtime.program.add_training_options`, and `output`).
        argv: The same, not parsed; None: those of the command line.
        group: The processes that train together.
        rule: The rule that the program stands behind.
        kind: What the checkpoint holds.
        model: The arguments that made the module.
        inputs: What is read, by role; the run depends on what is trained on, `train` and `val`.
        start: weights_digest of what the training starts from; None: random weights.
        origin: Digest of that file, taken before it was read; empty without one.
        content: Further entries of the checkpoint that the run depends on.
    """
    making = Making(rule, argv)
    data = [path for role in ("train", "val") for path in paths_of(inputs[role])]
    with contextlib.ExitStack() as stack:
        resume: ResumeFolder | None = None
        run_of: dict[str, Any] = {"inputs": []}
        if group.is_first:
            # Over all sessions of the run, while --log is the last one's.
            stack.enter_context(also_logged(args.output.parent / "training.log"))
            run_of = fingerprint(rule, stage, args.seed, data) | content
            run_of |= {"start": start} if start else {}
            folder = ResumeFolder(
                resume_folder(args.output),
                run_of,
                fresh=args.fresh,
                extend=runtime.extend,  # of a whole study: some stages have other inputs now
                must_extend=args.extend,
                lock=False,  # `prepared` or the launcher has it
            )
            resume = stack.enter_context(folder)
            making.read(inputs, dict(zip(data, run_of["inputs"], strict=True)))
        state = train(
            task,
            stage.training,
            runtime,
            seed=args.seed,
            folder=args.output.parent / "tensorboard",
            resume=resume,
            group=group,
            description="SAVi" if kind == "savi" else kind,
        )
        if not group.is_first:
            return
        products = save_training(
            args.output,
            state,
            last_weights=task.module.state_dict(),
            select=stage.training.select,
            kind=kind,
            model=dict(model),
            config=stage,
            seed=args.seed,
            sources=run_of["inputs"],
            **content,
        )
    made_by = state.sessions[-1]["made_by"]  # what trained it, not what writes it again
    took: dict[str, Any] = {"steps": state.step, "epochs": state.epoch, "examples": state.examples}
    took |= {"seconds": round(state.seconds, 1), "device": made_by["device"]}
    write_json(companion(args.output, TRAINING_TIME), took)
    write_record(args.output, args.checkpoint, digest=origin)
    making.finish(
        [*products, companion(args.output, TRAINING_TIME)],
        stage,
        seed=args.seed,
        seconds=took["seconds"],  # of all sessions
        made_by=made_by,
    )
