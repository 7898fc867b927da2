"""Kills a small training again and again at random moments, and compares it with one left alone.

    python tests/fuzz/kills.py --kills 100 --seed 0

A SAVi and a predictor on it are trained in turns: each start ends by SIGKILL after a random time,
wherever it is then (while it starts, in a step, in a validation, while it saves), until a training
ends; the next one begins in a folder of its own. Compared are all weights, best and last, the
curves, and the scores of what was trained. The exit status is 1 where one bit differs.
"""

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "helpers"), str(HERE.parents[1])]

import torch  # noqa: E402
from tiny import CPU, call, predictor_stage, savi_stage  # noqa: E402
from trainings import (  # noqa: E402
    curves,
    ended,
    predictor_arguments,
    savi_arguments,
    start,
    write_data,
)

from ocvp import evaluate_predictor, evaluate_savi  # noqa: E402
from ocvp.models.checkpoint import read_checkpoint  # noqa: E402

STEPS = 100
SAVE = {"save_interval_minutes": 0.002}
"""Saves in between, so that kills hit them too; not after each step, so that steps are lost."""


class Trained(NamedTuple):
    """What a training made, to be compared bit by bit."""

    weights: dict[str, torch.Tensor]
    curves: Any
    scores: Any


class Program(NamedTuple):
    """A training that is killed."""

    module: str
    arguments: list[Any]
    """On the data of `write_data`; `--output` comes last."""
    product: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    chance = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="ocvp-kills-"))
    programs = _programs(write_data(folder / "data"))
    wholes: dict[str, Trained] = {}
    seconds: dict[str, float] = {}
    for program in programs:
        whole = folder / program.module
        for name in ("first", "whole"):  # the first one starts the server of processes, too
            began = time.monotonic()
            _run(program, whole / name)
        seconds[program.module] = time.monotonic() - began
        wholes[program.module] = _trained(program, whole / name, folder / "data")
    kills, trainings, different = [], 0, 0
    while len(kills) < args.kills:
        program = programs[trainings % len(programs)]
        output = folder / f"killed{trainings}"
        steps = _kill(program, output, chance, args.kills - len(kills), seconds[program.module])
        kills += steps
        found = _trained(program, output, folder / "data")
        bits = _different(wholes[program.module], found)
        different += bits
        went_on = " ".join(map(str, steps)) or "none"
        print(
            f"{program.module}: {len(steps)} kills, went on from {went_on}; {bits} differ",
            flush=True,
        )
        trainings += 1
        shutil.rmtree(output)
    print(f"seed {args.seed}: {len(kills)} kills of {trainings} trainings of {STEPS} steps")
    values = sum(_size(whole) for whole in wholes.values())
    print(f"{different} values differ, of {values} in weights, curves and scores of each pair")
    if not different:
        shutil.rmtree(folder)
    return min(different, 1)


def _programs(data: Path) -> list[Program]:
    """Return both trainings, on data that were written."""
    options = {"num_steps": STEPS, "select": "best"}
    nowhere = Path()
    return [
        Program(
            "ocvp.train_savi",
            savi_arguments(data, nowhere, savi_stage(**options), **SAVE)[:-1],
            "savi.pt",
        ),
        Program(
            "ocvp.train_predictor",
            predictor_arguments(data, nowhere, predictor_stage("ocvp_seq", **options), **SAVE)[:-1],
            "predictor.pt",
        ),
    ]


def _run(program: Program, output: Path) -> None:
    status, text = ended(start(program.module, *program.arguments, output / program.product))
    assert status == 0, text


def _kill(
    program: Program, output: Path, chance: random.Random, most: int, seconds: float
) -> list[int]:
    """Train to the end, killed at most so many times; return the steps that it went on from."""
    number, log = 0, output / "training.log"
    while True:
        process = start(program.module, *program.arguments, output / program.product)
        if number == most:
            status, text = ended(process)
            break
        try:
            process.wait(chance.uniform(0.05, 0.8) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        status, text = ended(process)
        if status != -signal.SIGKILL:
            break
        number += 1
    assert status == 0, text
    steps = [int(step) for step in re.findall(r"going on from step (\d+)", log.read_text())]
    return [*[0] * (number - len(steps)), *steps]


def _trained(program: Program, output: Path, data: Path) -> Trained:
    """Return what a training made, and what its model scores."""
    weights = {
        f"{path.name} {name}": tensor
        for path in sorted(output.glob(f"{Path(program.product).stem}*.pt"))
        for name, tensor in read_checkpoint(path)["weights"].items()
    }
    scores = output / "evaluation.json"
    videos, model = ["--videos", data / "val.h5"], output / program.product
    if program.product == "savi.pt":
        options = ["--config", {}, "--savi", model]
        status = call(evaluate_savi.main, *options, *videos, "--runtime", CPU, "--output", scores)
    else:
        protocol = {"protocol": {"num_context": 3, "num_preds": 3, "split": "val"}}
        options = ["--config", protocol, "--savi", data / "savi.pt", "--predictor", model]
        options += ["--slots", data / "slots/val.h5"]
        status = call(
            evaluate_predictor.main, *options, *videos, "--runtime", CPU, "--output", scores
        )
    assert status == 0
    content = json.loads(scores.read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if key in ("metrics", "comparisons")}
    return Trained(weights, curves(output), kept)


def _different(one: Trained, other: Trained) -> int:
    """Return how many values differ in a bit; a missing tensor counts whole."""
    names = one.weights.keys() | other.weights.keys()
    number = 0
    for name in names:
        pair = [trained.weights.get(name) for trained in (one, other)]
        if any(tensor is None for tensor in pair):
            number += sum(tensor.numel() for tensor in pair if tensor is not None)
        else:
            first, second = (tensor.contiguous().view(torch.uint8) for tensor in pair)
            number += int((first != second).sum())
    plain = [json.dumps([trained.curves, trained.scores]) for trained in (one, other)]
    values = [re.findall(r"-?\d[\d.e+-]*", text) for text in plain]
    number += sum(a != b for a, b in zip(*values, strict=False))
    return number + abs(len(values[0]) - len(values[1])) + (plain[0] != plain[1])


def _size(trained: Trained) -> int:
    texts = re.findall(r"-?\d[\d.e+-]*", json.dumps([trained.curves, trained.scores]))
    return sum(tensor.numel() for tensor in trained.weights.values()) + len(texts)


if __name__ == "__main__":
    sys.exit(main())
