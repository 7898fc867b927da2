"""Tries the tests: breaks one line of the package at a time, and tells whether they notice.

    python tests/helpers/mutations.py [--only N ...] [--jobs 2] [--json FILE]

Each mutation is a defect that an edit could well bring. It is made in a copy of the project, and
its wing's tests and the quick ones of the workflow run until one of them fails. A failure counts
where the same test passes without the mutation. Lines are found by their text, wherever they lie;
the program fails where a text is gone, or occurs twice.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
NOT_COPIED = (".git", ".venv", ".snakemake", ".*_cache", "__pycache__", "results", "logs")
WORKFLOW = (
    "tests/workflow/test_bad_input.py",
    "tests/workflow/test_module_import.py",
    "tests/workflow/test_profiles.py",
)
"""Tests of the workflow that run nothing for long."""


class Mutation(NamedTuple):
    """A part of a line, and what stands there instead."""

    wing: str
    """Whose tests are to notice it: a folder of tests/; that of its module's wing is asked too."""
    text: str
    replacement: str


MUTATIONS = (
    # What models are given.
    Mutation("batches", 'generator(seed, "order", epoch)', 'generator(seed, "order")'),
    Mutation("batches", "last = self._num_frames - length", "last = self._num_frames - length + 1"),
    Mutation("batches", ".clamp(max=PUBLISHED_SIDE - 1)", ".clamp(max=PUBLISHED_SIDE)"),
    Mutation("batches", "size <= DEVICE_SHARE * free_on_device", "size <= free_on_device"),
    # Where and how it is computed.
    Mutation("compute", 'f"{type(part).__name__}:{part}" for part', "str(part) for part"),
    Mutation("compute", "start = number * size + min(number, rest)", "start = number * (size + 1)"),
    # The config.
    Mutation("config", "dict(sorted((entry.grid or {}).items()))", "dict(entry.grid or {})"),
    Mutation("config", "sort_keys=True, separators", "separators"),
    # Data.
    Mutation(
        "data", "columns[:, ::-1].argmax(axis=1) / width", "columns[:, ::-1].argmax(1) / height"
    ),
    Mutation("data", "rows = top + np.arange", "rows = np.arange"),
    Mutation("data", "/ LEVELS * (high - low) + low", "/ LEVELS * (high - low)"),
    Mutation("data", "turn_x, turn_y = -y / body.radius", "turn_x, turn_y = y / body.radius"),
    Mutation(
        "data",
        "return -(-num_videos // videos_per_chunk)",
        "return num_videos // videos_per_chunk + 1",
    ),
    Mutation("data", "if info.weights_digest != weights_digest:", "if not info.weights_digest:"),
    # Models.
    Mutation("models", "self.scale = input_dim**-0.5", "self.scale = slot_dim**-0.5"),
    Mutation("models", "(offsets < kinds)", "(offsets <= kinds)"),
    Mutation("models", "nn.init.orthogonal_(parameter)", "nn.init.xavier_uniform_(parameter)"),
    Mutation("models", "dropout_p=self.dropout if self.training else 0.0", "dropout_p=0.0"),
    Mutation("models", "window = window[-buffer_size:]", "window = window[:buffer_size]"),
    # Scores.
    Mutation("evaluation", "(same_true == pairs) | (same_true == 0)", "same_true == pairs"),
    Mutation("evaluation", "visible = (sizes > 0) & (sizes[:, :1] > 0)", "visible = sizes > 0"),
    Mutation("evaluation", "(1 + CONFIDENCE) / 2)", "CONFIDENCE)"),
    Mutation("evaluation", 'np.argsort(-areas, kind="stable")', 'np.argsort(areas, kind="stable")'),
    # Pictures.
    Mutation("pictures", "(i + i // number) % number", "i % number"),
    Mutation("pictures", "duration = 10 * _gif_delay(fps)", "duration = _gif_delay(fps)"),
    Mutation(
        "pictures",
        "true = object_centres(found.labels[None]",
        "true = object_centres(rollout.labels[None]",
    ),
    Mutation("pictures", "np.minimum(errors / MAX_ERROR, 1)", "np.minimum(errors * MAX_ERROR, 1)"),
    Mutation("evaluation", "RANKED_VIDEOS.index(name) * last", "RANKED_VIDEOS.index(name) + last"),
    Mutation(
        "study",
        "pair, count in counts[key].items() if count > 1",
        "pair, count in counts[key].items() if count",
    ),
    # The published code's files.
    Mutation(
        "published", "whole = -(-source.num_train // max(", "whole = (source.num_train // max("
    ),
    Mutation(
        "published", "max_objects = min(MOVI_OBJECTS, num_slots)", "max_objects = MOVI_OBJECTS"
    ),
    # Records.
    Mutation(
        "records",
        "_imports_in(node.body, package, is_at_once=False)",
        "_imports_in(node.body, package, is_at_once)",
    ),
    Mutation("records", "bytes.fromhex(file_digest(path))", "path.name.encode()"),
    # Files and logs.
    Mutation("runtime", "os.fsync(file.fileno())", "file.fileno()"),
    Mutation("runtime", "value.tag not in known", "True"),
    # Studies.
    Mutation("study", 'training = {"train", "val"} if', 'training = {"train"} if'),
    Mutation("study", "own * min(job.threads, cores) / cores", "own / cores"),
    # Trainings.
    Mutation(
        "training", "warmup_steps + 1 if warmup_steps > 0", "warmup_steps if warmup_steps > 0"
    ),
    Mutation("training", 'values["loss"] * (weight * num_processes)', 'values["loss"] * weight'),
    Mutation("training", "0.0) + value * len(plan[number])", "0.0) + value"),
    Mutation("training", "if found != self.digest:", "if not found:"),
    # Programs.
    Mutation(
        "programs", "frames[:, num_context - 1 : num_context].expand_as", "frames[:, :1].expand_as"
    ),
    Mutation("programs", "-1.0 if METRICS[name].lower_is_better else 1.0", "1.0"),
    Mutation("programs", '"value": entry[naive]', '"value": entry["mean"]'),
)


class Outcome(NamedTuple):
    """How the tests took a mutation."""

    number: int
    module: str
    mutation: Mutation
    caught_by: str
    """The first test that failed, or `time` where they did not end; empty: it survived."""
    seconds: float


def main() -> int:
    """Run the program (see the module's description)."""
    args = _parse()
    numbers = args.only or range(1, len(MUTATIONS) + 1)
    places = {number: place_of(MUTATIONS[number - 1]) for number in numbers}
    start = time.monotonic()
    copies: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        for job in range(args.jobs):
            copies.put(_copy(Path(folder, str(job))))

        def outcome(number: int) -> Outcome:
            copy = copies.get()
            try:
                return try_out(number, places[number], copy, args.timeout)
            finally:
                copies.put(copy)

        outcomes = []
        for found in pool.map(outcome, numbers):
            outcomes.append(found)
            print(_row(found), flush=True)
    caught = sum(bool(found.caught_by) for found in outcomes)
    minutes = (time.monotonic() - start) / 60
    print(f"caught {caught} of {len(outcomes)} in {minutes:.0f} minutes")
    if args.json:
        rows = [{**found._asdict(), "mutation": found.mutation._asdict()} for found in outcomes]
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def place_of(mutation: Mutation) -> str:
    """Return the file, from the project's folder, that holds a mutation's text.

    Raises:
        ValueError: If none does, or it stands there twice.
    """
    found = [
        (path.relative_to(PROJECT).as_posix(), count)
        for path in sorted((PROJECT / "ocvp").rglob("*.py"))
        if (count := path.read_text(encoding="utf-8").count(mutation.text))
    ]
    if [count for _, count in found] != [1]:
        raise ValueError(f"{mutation.text!r} must stand in one line of ocvp/, found: {found}")
    return found[0][0]


def try_out(number: int, place: str, project: Path, timeout: float) -> Outcome:
    """Make a mutation in a copy of the project, run its tests, and take it back."""
    mutation = MUTATIONS[number - 1]
    module = project / place
    source = module.read_text(encoding="utf-8")
    start = time.monotonic()
    words = list(tests_of(mutation.wing, place))
    while True:
        module.write_text(source.replace(mutation.text, mutation.replacement), encoding="utf-8")
        failed = first_failure(project, words, timeout)
        module.write_text(source, encoding="utf-8")
        if not failed.startswith("tests/") or not first_failure(project, [failed], timeout):
            return Outcome(number, place, mutation, failed, time.monotonic() - start)
        words.append(f"--deselect={failed}")  # it fails without the mutation too


def tests_of(wing: str, place: str) -> Iterator[str]:
    """Yield the files of the tests that are to notice an edit, those of its module first."""
    folders = dict.fromkeys([wing, *Path(place).parts[1:-1][:1]])
    files = [
        path.relative_to(PROJECT).as_posix()
        for folder in folders
        for path in sorted((PROJECT / "tests" / folder).rglob("test_*.py"))
    ]
    own = f"test_{Path(place).stem}.py"
    yield from sorted(files, key=lambda file: Path(file).name != own)
    yield from WORKFLOW


def first_failure(project: Path, words: list[str], timeout: float) -> str:
    """Run what pytest is asked for, and return the first failure; `time` if it takes too long."""
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-m", "not slow"]
    process = subprocess.Popen(
        [*pytest, "-p", "no:cacheprovider", *words],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "time"
    if process.returncode == 0:
        return ""
    test = r"^(?:FAILED|ERROR) (\S+?\.py(?:::\w+(?:\[.*?\])?)?)(?: - |$)"  # names may hold spaces
    failed = re.search(test, text, re.MULTILINE)
    if failed is None:
        raise ValueError(f"pytest ended with status {process.returncode}:\n{text}")
    return failed[1]


def _copy(folder: Path) -> Path:
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
    (folder / "results").mkdir()
    return folder


def _row(found: Outcome) -> str:
    what = found.caught_by or f"SURVIVED: {found.mutation.text} -> {found.mutation.replacement}"
    return f"{found.number:3} {found.module:40} {found.seconds:5.0f} s  {what}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="break one line at a time, and run its tests")
    parser.add_argument("--only", type=int, nargs="+", help="numbers from 1 (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="mutations at once (default: 2)")
    parser.add_argument(
        "--timeout", type=float, default=300.0, help="seconds for one's tests (default: 300)"
    )
    parser.add_argument("--json", type=Path, help="file for the outcomes (default: none)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
