"""Fuzzes what users bring: configs the way the Snakefile reads them, files through their readers.

    python tests/fuzz/fuzz.py --tries 1000 --seed 0

Each try ends in one of three ways: the right result, a refusal in one line that names file or key,
or a warning and the right result. What ends otherwise is kept in a folder, and the exit status is
1. `--only` names kinds, of which `config` is one.
"""

import argparse
import functools
import os
import pickle
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers"), str(HERE.parents[1])]

import configs  # noqa: E402
from children import Outcome, run_all  # noqa: E402
from kinds import EXPECTED_TOO, KINDS, SECONDS, tried  # noqa: E402

ENDS = ("right", "warned", "refused", "other")
MOST_SHOWN = 3
"""Violations of a kind that are printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=1000, help="configs, and files of all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=["config", *KINDS], help="default: all")
    parser.add_argument("--keep", type=Path, help="folder for what ends otherwise (default: new)")
    args = parser.parse_args(argv)
    names = args.only or ["config", *KINDS]
    kept = args.keep or Path(tempfile.mkdtemp(prefix="ocvp-fuzz-"))
    files = [name for name in names if name != "config"]
    found: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix="ocvp-fuzz-work-") as folder:
        for index, name in enumerate(names):
            began = time.monotonic()
            if name == "config":
                found[name] = fuzz_configs(args.tries, args.seed, kept)
            else:
                # the first kinds get what is left of a division
                number = args.tries // len(files) + (files.index(name) < args.tries % len(files))
                found[name] = fuzz_files(name, number, args.seed, Path(folder), kept)
            _show(name, found[name], time.monotonic() - began, is_first=index == 0)
    bad = sum(outcome.is_violation for outcomes in found.values() for outcome in outcomes)
    print(f"seed {args.seed}: {bad} of {sum(map(len, found.values()))} ended otherwise", end="")
    print(f"; they lie in {kept}" if bad else "")
    if not bad and args.keep is None:
        shutil.rmtree(kept)
    return min(bad, 1)


def fuzz_configs(number: int, seed: int, kept: Path) -> list[Outcome]:
    """Return how so many configs went."""
    cases = configs.cases(number, seed)
    configs.read_code()
    outcomes = run_all(len(cases), lambda index: configs.tried(cases[index]), configs.SECONDS)
    for index, outcome in enumerate(outcomes):
        if outcome.is_violation:
            folder = kept / f"config-{index}"
            folder.mkdir(parents=True)
            (folder / "config.yaml").write_text(cases[index].text, encoding="utf-8")
            (folder / "what.txt").write_text(f"{cases[index]}\n{outcome}", encoding="utf-8")
    return outcomes


def fuzz_files(name: str, number: int, seed: int, folder: Path, kept: Path) -> list[Outcome]:
    """Return how so many files of a kind went."""
    good = folder / name / "good"
    good.mkdir(parents=True)
    expected = [_made(name, good)]
    expected += EXPECTED_TOO.get(name, lambda _: [])(good)
    one = functools.partial(_one, name, good, expected, seed, kept)
    return run_all(number, one, SECONDS)


def _made(name: str, good: Path) -> object:
    """Write the valid file of a kind, and return what is read of it.

    Both in a child: libraries that have threads of their own, as FFmpeg, do not survive a fork.
    """
    result = good.parent / "expected.pickle"
    if (pid := os.fork()) == 0:
        status = 1
        torch.set_num_threads(1)  # the parent's other threads, if it had any, are not here
        try:
            KINDS[name].make(good)
            copy = Path(shutil.copytree(good, good.parent / "undamaged"))
            result.write_bytes(pickle.dumps(KINDS[name].read(copy)))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"the valid file of kind {name} cannot be read")
    return pickle.loads(result.read_bytes())


def _one(
    name: str, good: Path, expected: list[object], seed: int, kept: Path, number: int
) -> Outcome:
    folder = good.parent / str(number)
    chance = random.Random(f"{name} {seed} {number}")
    outcome = tried(KINDS[name], good, folder, expected, chance)
    if outcome.is_violation:
        shutil.copytree(folder, kept / f"{name}-{number}")
    shutil.rmtree(folder)
    return outcome


def _show(name: str, outcomes: list[Outcome], seconds: float, is_first: bool) -> None:
    if is_first:
        print(f"{'kind':14}{''.join(f'{end:>9}' for end in ENDS)}{'otherwise':>11}{'seconds':>9}")
    counts = Counter("otherwise" if o.is_violation else o.kind for o in outcomes)
    row = "".join(f"{counts[end]:9}" for end in ENDS)
    print(f"{name:14}{row}{counts['otherwise']:11}{seconds:9.0f}", flush=True)
    bad = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome.is_violation]
    for number, outcome in bad[:MOST_SHOWN]:
        print(f"  {name} {number}: {outcome.kind}: {outcome.text[-1500:]}")


if __name__ == "__main__":
    sys.exit(main())
