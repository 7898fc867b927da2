"""Measure how fast a training is beside other busy processes, and against an earlier version.

    python benchmarks/busy_training.py --before FOLDER [--busy N ...] [--pairs N] [--steps N]

The demo's SAVi is trained for some steps from this folder and from FOLDER, another copy of the
project, one after the other, several times: quiet, beside two processes that compute without a
pause, and beside four. Each figure is the median of steps a second, with its least and its largest;
the last column is the median of the ratios of the pairs.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
SPLITS = {"train": 350, "val": 8}
"""Videos; the validations of a few steps are short."""
OF_THREADS = ("OMP_", "GOMP_", "KMP_", "MKL_")
"""Beginnings of the names of variables that the programs are to choose for themselves."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; see the module's head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="copy of an earlier version")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2, 4], help="busy processes")
    parser.add_argument("--pairs", type=int, default=5, help="trainings of each version")
    parser.add_argument("--steps", type=int, default=40, help="steps of a training")
    args = parser.parse_args(argv)
    if not (args.before / "ocvp").is_dir():
        parser.error(f"--before is {args.before}; it holds no folder ocvp")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = yaml.safe_load((PROJECT / "config" / "config.yaml").read_text(encoding="utf-8"))
        make_videos(config["datasets"]["tabletop"], folder)
        stage = {key: config["savi"]["savi"][key] for key in ("model", "training")}
        stage["training"]["num_steps"] = args.steps
        print("busy   steps/s before          steps/s now             ratio", flush=True)
        for num_busy in args.busy:
            with busy(num_busy):
                pairs = [
                    [steps_per_second(project, stage, folder) for project in (args.before, PROJECT)]
                    for _ in range(args.pairs)
                ]
            before, now = map(described, zip(*pairs, strict=True))
            ratio = statistics.median(after / earlier for earlier, after in pairs)
            print(f"{num_busy:4}   {before:23} {now:23} {ratio:5.2f}", flush=True)
    return 0


def make_videos(dataset: dict[str, Any], folder: Path) -> None:
    """Make the videos that are trained on."""
    config = json.dumps(dataset | {"num_videos": SPLITS | {"test": 1}, "videos_per_chunk": 1000})
    for split in SPLITS:
        options = ["--config", config, "--dataset", "tabletop", "--split", split, "--output"]
        chunk, videos = (str(folder / name) for name in (f"{split}_chunk.h5", f"{split}.h5"))
        run(PROJECT, folder, "prepare_data", "chunk", *options, chunk, "--chunk", "0")
        run(PROJECT, folder, "prepare_data", "merge", *options, videos, "--chunks", chunk)


def steps_per_second(project: Path, stage: dict[str, Any], folder: Path) -> float:
    """Train with a version of the project, and return how fast it was."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        options = ["--config", json.dumps(stage), "--runtime", json.dumps({"device": "cpu"})]
        options += ["--train", str(folder / "train.h5"), "--val", str(folder / "val.h5")]
        run(project, folder, "train_savi", *options, "--output", str(Path(output) / "savi.pt"))
        took = json.loads((Path(output) / "training_time.json").read_text(encoding="utf-8"))
    return took["steps"] / took["seconds"]


def run(project: Path, folder: Path, program: str, *options: str) -> None:
    """Run a program of a version of the project.

    Raises:
        RuntimeError: If it fails, with what it printed.
    """
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OF_THREADS)}
    done = subprocess.run(
        [sys.executable, "-m", f"ocvp.{program}", *options],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(project.resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{program} of {project} failed:\n{done.stderr[-2000:]}")


@contextlib.contextmanager
def busy(num_processes: int) -> Iterator[None]:
    """Keep so many processes computing."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(num_processes)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def described(speeds: Sequence[float]) -> str:
    """Return median, least and largest of some speeds."""
    return f"{statistics.median(speeds):5.2f} ({min(speeds):.2f} to {max(speeds):.2f})"


if __name__ == "__main__":
    sys.exit(main())
