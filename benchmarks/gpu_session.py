"""Use a few minutes on a GPU: check that right answers come out, then measure.

    python benchmarks/gpu_session.py [--device cuda|cpu] [--minutes 12] [--quick] [--output FOLDER]

Checks come first: short trainings on the device, kept in each of the places that data can be in,
compiled, in bfloat16, resumed, and in a group of one process over NCCL, all against the same
training on the CPU. Where one fails, nothing is measured, and the exit status is 1. Then
`training_speed.py` runs, most important first, each run in what is left of the time; what it does
not reach is called not measured. With `--device cpu --quick` it is rehearsed.
"""

import argparse
import contextlib
import io
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import ocvp  # noqa: F401 - before torch: it sets what torch's threads read

import torch  # isort: skip
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ocvp.compute.device import prepare_device
from ocvp.models.checkpoint import read_checkpoint
from ocvp.runtime.environment import device_name
from ocvp.runtime.program import program_parser, run
from ocvp.train_savi import main as train_savi
from ocvp.training.step import Losses
from speed.data import make_data
from speed.subject import PROJECT, Subject, read_subject, savi_stage
from speed.work import Given, first_batch

STEPS = 6
CLOSE, ROUNDED = 1e-3, 5e-2
"""How far a validation loss may be from that on the CPU: sums in another order; bfloat16."""
RESERVE = 20.0
"""Seconds that are left for writing down what was found."""
TRAININGS: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "the data on the device": ({"residency": "device"}, {}, CLOSE),
    "the data in memory": ({"residency": "memory"}, {}, CLOSE),
    "the data streamed": ({"residency": "disk"}, {}, CLOSE),
    "two parts of each batch": ({"accumulation_steps": 2}, {}, CLOSE),
    "bfloat16": ({}, {"precision": "bfloat16"}, ROUNDED),
    "compiled": ({"compile": True}, {}, CLOSE),
}
"""What is checked, to its `runtime`, its `training`, and how close the loss must be."""
MEASUREMENTS: dict[str, list[str]] = {
    "float32": ["--precision", "float32"],
    "bfloat16": ["--precision", "bfloat16"],
    "compiled": ["--precision", "bfloat16", "--compile", "--only", "savi", "ocvp_seq"],
}
"""Name of a folder to the options of `training_speed.py`, the most important first."""


def main(argv: Sequence[str] | None = None) -> int:
    """Check, then measure; see the module's head."""
    parser = program_parser(__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything (default: 12)")
    parser.add_argument("--quick", action="store_true", help="measure tiny models")
    output = PROJECT / "benchmarks" / "results" / "gpu_session"
    parser.add_argument("--output", type=Path, default=output, help=f"folder (default: {output})")
    args = parser.parse_args(argv)
    end = time.monotonic() + 60 * args.minutes
    signal.signal(signal.SIGALRM, time_is_over)  # should a check take that long
    signal.alarm(round(60 * args.minutes))
    device = prepare_device(args.device, num_threads=1)
    print(f"{device_name(device)}, torch {torch.__version__}", flush=True)
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        failures = check(Path(name), device)
    if failures:
        print(f"nothing is measured, since {len(failures)} checks failed: {', '.join(failures)}")
        return 1
    for name, options in MEASUREMENTS.items():
        left = end - RESERVE - time.monotonic()
        print(f"\n{name}: {measure(args, args.output / name, options, left)}", flush=True)
    return 0


def time_is_over(*_: object) -> NoReturn:
    """End this process, and say why."""
    sys.exit("the time is over; what is not printed above is not measured")


def check(folder: Path, device: torch.device) -> list[str]:
    """Run all checks, print a line for each, and return those that failed."""
    subject = read_subject("obj3d", "cpu", quick=True).resized(savi_batch=4, savi_videos=8)
    make_data(subject, folder, ["savi"])
    truth = trained(subject, folder, "reference", {"device": "cpu"}, {})
    failures = []

    def report(name: str, found: float, expected: float, tolerance: float) -> None:
        is_right = abs(found - expected) <= tolerance * abs(expected)
        what = f"{'right' if is_right else 'WRONG'}  {name}: {found:.6g}, expected {expected:.6g}"
        print(what, flush=True)
        if not is_right:
            failures.append(name)

    for name, (runtime, training, tolerance) in TRAININGS.items():
        place = {"device": device.type} | runtime
        report(name, trained(subject, folder, name, place, training), truth, tolerance)
    place = {"device": device.type}
    trained(subject, folder, "resumed", place, {"num_steps": STEPS // 2})
    report("resumed", trained(subject, folder, "resumed", place, {}, "--extend"), truth, CLOSE)
    report("a group of one process", *losses_of_a_group(subject, folder, device), CLOSE)
    return failures


def trained(
    subject: Subject,
    folder: Path,
    name: str,
    runtime: dict[str, Any],
    training: dict[str, Any],
    *options: str,
) -> float:
    """Train a SAVi for some steps, and return its validation loss."""
    stage = savi_stage(subject).model_dump(mode="json")
    usual = {"num_steps": STEPS, "learning_rate": 1e-3, "schedule": "constant", "warmup_steps": 0}
    stage["training"] |= usual | {"precision": "float32", "tf32": False} | training
    output, data = folder / name / "savi.pt", str(folder / "savi.h5")
    words = ["--config", json.dumps(stage), "--runtime", json.dumps(runtime)]
    with contextlib.redirect_stderr(io.StringIO()):  # what the training says
        train_savi([*words, "--train", data, "--val", data, "--output", str(output), *options])
    return float(read_checkpoint(output)["metrics"]["loss"])


def losses_of_a_group(subject: Subject, folder: Path, device: torch.device) -> tuple[float, float]:
    """Return the norm of the gradients as a group of one process averages it, and as it is."""
    norms = []
    backend = "nccl" if device.type == "cuda" else "gloo"
    store = dist.FileStore(str(folder / "store"), 1)
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    for is_in_group in (True, False):
        given = Given(subject, folder, device)
        task = given.savi_task(given.savi()[0])
        losses: nn.Module = Losses(task, "float32")
        if is_in_group:
            losses = DistributedDataParallel(losses)
        losses(first_batch(task), 0)["loss"].backward()
        gradients = [value.grad for value in task.module.parameters() if value.grad is not None]
        norms.append(float(nn.utils.get_total_norm(gradients)))
    dist.destroy_process_group()
    return norms[0], norms[1]


def measure(args: argparse.Namespace, output: Path, options: list[str], seconds: float) -> str:
    """Run the benchmark in what is left of the time, and return how that went."""
    if seconds <= 0:
        return "not measured: the time is over"
    words = [sys.executable, str(PROJECT / "benchmarks" / "training_speed.py"), *options]
    words += ["--device", args.device, "--rounds", "3", "--output", str(output)]
    words += ["--quick"] if args.quick else []
    process = subprocess.Popen(words)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # it takes its processes and files with it
        process.wait()
        return "not measured to its end: the time is over; what is printed above is measured"
    return "measured" if status == 0 else f"it ended with status {status}"


if __name__ == "__main__":
    run(main)
