"""Measure how fast models train, and are used, against the plain formulation of the same work.

    python benchmarks/training_speed.py [--device cpu|cuda] [--config NAME] [--quick]
    python benchmarks/training_speed.py --against REV
    python benchmarks/training_speed.py --sweep

A step of SAVi and of each predictor, extraction of slots, scoring, reading clips (from HDF5, and
from PNG files), and the time from the command to the first batch. Each piece of work is done in two
processes that take turns, A B A B: by the code that trainings run, and as the papers describe it
(`speed/plain_savi.py`, `speed/plain_predictors.py`); or, with --against, by the code of another
commit. Before that, both must find the same losses. docs/performance.md says what the figures mean.
"""

import argparse
import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ocvp.compute.device import prepare_device
from ocvp.models.precision import resolve_precision
from ocvp.runtime.environment import made_by
from ocvp.runtime.program import program_parser, run
from speed.asking import Job, WorkError
from speed.data import make_data
from speed.plots import sweep_figure, times_figure
from speed.subject import PROJECT, Subject, read_subject
from speed.sweep import AXES, sweep, sweep_table
from speed.tables import (
    OURS,
    PLAIN,
    PREDICTORS,
    WORK,
    heading,
    hours_table,
    label_of,
    notes,
    rates_table,
    times_line,
)
from speed.turns import FIRST_STEP, best_rates, disagreement, take_turns

ROUNDS, QUICK_ROUNDS = 5, 2
LEAST_SECONDS = 0.5
"""How long a turn takes at least."""
OUTPUT = PROJECT / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write them; see the module's head."""
    args = parse(argv)
    subject = read_subject(
        args.config,
        args.device,
        quick=args.quick,
        precision=args.precision,
        is_compiled=args.compile,
        num_threads=args.threads,
        savi_batch=args.batch,
        predictor_batch=args.batch,
        savi_frames=args.frames,
        dataset_videos=args.videos,
    )
    device = prepare_device(subject.device, subject.num_threads)
    precision = resolve_precision(subject.precision, device)
    subject = dataclasses.replace(subject, precision=precision)
    names = chosen(args, subject)
    args.output.mkdir(parents=True, exist_ok=True)
    result = dataclasses.asdict(subject) | {"made_by": made_by(device), "rounds": args.rounds}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.sweep:
            result["sweep"] = sweep(subject, folder, names, args.rounds, args.quick)
            print(table := sweep_table(result))
            write(args.output / "sweep", result, table, sweep_figure(result))
        else:
            with other_project(args.against) as (other, project):
                make_data(subject, folder, names)
                result |= compare(args, subject, folder, names, other, project)
            table = tables_of(result, with_hours=not args.quick)
            stem = "speed" if args.against is None else f"against-{other}"
            write(args.output / stem, result, table, times_figure(result, other))
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--config", default="obj3d", help="name in config/, or a path (default: obj3d)"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder (default: {OUTPUT})")
    parser.add_argument(
        "--only", nargs="+", choices=WORK, metavar="WORK", help=f"some of: {', '.join(WORK)}"
    )
    parser.add_argument("--rounds", type=positive, help=f"turns of each way (default: {ROUNDS})")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--against", metavar="REV", help="compare with a commit of this project")
    what.add_argument("--sweep", action="store_true", help="fit how time and memory grow")
    parser.add_argument(
        "--quick", action="store_true", help="tiny models (config/small/), to see that it works"
    )
    how = parser.add_argument_group("how, in place of what config and device say")
    how.add_argument("--precision", choices=("float32", "bfloat16", "auto"), help="of A only")
    how.add_argument("--compile", action="store_true", help="compile the steps of A")
    how.add_argument("--threads", type=positive, help="threads of a CPU")
    how.add_argument("--batch", type=positive, help="clips, or windows, of a step")
    how.add_argument("--frames", type=positive, help="frames of SAVi's clips")
    how.add_argument("--videos", type=positive, help="videos of the data set that is started with")
    args = parser.parse_args(argv)
    args.rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    return args


def positive(text: str) -> int:
    """Return a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def chosen(args: argparse.Namespace, subject: Subject) -> list[str]:
    """Return the work to measure, in the order of the tables.

    Raises:
        ValueError: If the config lacks what was asked for.
    """
    known = [name for name in WORK if name not in PREDICTORS or name in subject.predictors]
    if not subject.predictors:
        known.remove("predictor_scores")
    if args.sweep:
        known = [name for name in known if name in AXES]
    unknown = sorted(set(args.only or ()) - set(known))
    if unknown:
        raise ValueError(
            f"--only names {unknown[0]}; with these options and {subject.config} there are "
            f"{', '.join(known)}"
        )
    return [name for name in known if name in (args.only or known)]


def compare(
    args: argparse.Namespace,
    subject: Subject,
    folder: Path,
    names: Sequence[str],
    other: str,
    project: Path,
) -> dict[str, Any]:
    """Measure all work in both ways, and print a line for each piece.

    Raises:
        ValueError: If this project and the plain formulation find different losses.
    """
    way = "plain" if args.against is None else "ours"
    print(heading(other), flush=True)
    work: dict[str, Any] = {}
    for name in names:
        jobs = {OURS: Job(folder, name), other: Job(folder, name, way, project)}
        if name == FIRST_STEP and args.against is None:
            del jobs[other]  # a formulation has no command
        found = take_turns(jobs, args.rounds, 0.0 if args.quick else LEAST_SECONDS)
        if difference := disagreement(found):
            said = f"{name}: the results differ ({difference})"
            if args.against is None:
                raise ValueError(f"{said}; times of different work cannot be compared")
            print(said, file=sys.stderr, flush=True)
        sides = {label: dataclasses.asdict(one) for label, one in found.items()}
        work[name] = {"label": label_of(name, subject), "sides": sides}
        print(times_line(work[name], other), flush=True)
    return {"ceilings": rates(folder, args.quick), "other": other, "work": work}


def tables_of(result: dict[str, Any], with_hours: bool) -> str:
    """Return all tables, and print those whose lines were not printed yet."""
    hours = hours_table(result) if with_hours else ""
    rest = ["", rates_table(result), "", *([hours, ""] if hours else []), *notes(result)]
    print("\n".join(rest))
    times = (times_line(work, result["other"]) for work in result["work"].values())
    return "\n".join([heading(result["other"]), *times, *rest])


def rates(folder: Path, is_quick: bool) -> dict[str, float] | None:
    """Return the machine's best rates; None, with a line that says why, where there are none."""
    try:
        return best_rates(folder, is_quick)
    except WorkError as error:
        print(f"the best rates are not measured: {error}", file=sys.stderr)
        return None


@contextlib.contextmanager
def other_project(revision: str | None) -> Iterator[tuple[str, Path]]:
    """Check a commit out beside this project, as long as the context lasts.

    Args:
        revision: The commit; None: the plain formulation, which is part of this version.

    Returns:
        Its short name, and its folder.

    Raises:
        ValueError: If there is no such commit.
    """
    if revision is None:
        yield PLAIN, PROJECT
        return
    commit = git("rev-parse", "--short", "--verify", f"{revision}^{{commit}}").strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "project"
        git("worktree", "add", "--detach", str(folder), commit)
        try:
            yield commit, folder
        finally:
            git("worktree", "remove", "--force", str(folder))


def git(*words: str) -> str:
    """Run git in this project, and return what it prints.

    Raises:
        ValueError: If it refuses.
    """
    done = subprocess.run(
        ["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(f"git {' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def write(path: Path, result: dict[str, Any], table: str, figure: Any) -> None:
    """Write tables, their figure, and all that was measured."""
    path.with_suffix(".txt").write_text(f"{table}\n", encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    figure.savefig(path.with_suffix(".png"))
    print(f"\nwritten: {path}.txt, .json, .png")


if __name__ == "__main__":
    run(main)
