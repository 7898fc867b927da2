"""What a run of the workflow will do, how long it may take, and the disk it needs."""

import contextlib
import csv
import os
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ocvp.config import Config
from ocvp.config_models import SaviModel
from ocvp.files import read_json
from ocvp.raw_files import Listing

# A trained model with its optimiser's state, best and last weights, and TensorBoard's files.
TRAINING_BYTES = 60e6
TRAININGS = ("fit_savi", "fit_predictor")
TRAINING_TIME = "training_time.json"
"""Beside a checkpoint: what its training took in all sessions together."""
# Stands for the model of an entry that only its pretrained file knows.
UNKNOWN_MODEL = SaviModel(num_slots=11)


class Job(NamedTuple):
    """One job that is about to run."""

    rule: str
    wildcards: dict[str, str]
    threads: int
    benchmark: Path | None
    """Where an earlier run of it left its duration."""


def put_python_on_path() -> None:
    """Let jobs run the Python that runs the workflow, also where its environment is not active."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


Listings = Callable[[str, str], Listing]
"""From the names of a data set and a split to what it consists of."""


def show(workflow: Any, config: Config, listings: Listings) -> None:
    """Print the plan of a Snakemake run that is about to start."""
    jobs = [
        Job(
            job.rule.name,
            dict(job.wildcards_dict),
            job.threads,
            Path(job.benchmark) if job.benchmark else None,
        )
        for job in workflow.dag.needrun_jobs()
        if job.output
    ]
    if jobs:
        folder = Path.cwd()
        text = describe(jobs, config, listings, folder, cores=workflow.cores or 1)
        print(text, file=sys.stderr, flush=True)


def describe(jobs: list[Job], config: Config, listings: Listings, folder: Path, cores: int) -> str:
    """Return the plan as text.

    Args:
        jobs: Jobs that are about to run.
        config: The study's config.
        listings: How many videos a split has.
        folder: Folder of `results/` and `logs/`.
        cores: Cores that jobs share.
    """
    counts = Counter(job.rule for job in jobs)
    names = ", ".join(f"{count} {rule}" if count > 1 else rule for rule, count in counts.items())
    lines = [f"This run: {len(jobs)} jobs ({names})."]
    seconds, unknown = estimate_seconds(jobs, folder, cores)
    if seconds is not None:
        rest = f", and {', '.join(unknown)}, never run so far" if unknown else ""
        lines.append(f"Time, from earlier runs: about {_duration(seconds)}{rest}.")
    else:
        lines.append("Time: not known before a first run.")
    needed, free = estimate_bytes(jobs, config, listings), shutil.disk_usage(folder).free
    lines.append(f"Disk: about {_size(needed)}; {_size(free)} are free in {folder}.")
    if needed > free:
        lines.append("WARNING: the disk will be full before this run ends.")
    return "\n".join(lines)


def estimate_seconds(
    jobs: Iterable[Job], folder: Path, cores: int
) -> tuple[float | None, list[str]]:
    """Return the expected wall time and the rules without an earlier benchmark.

    A job takes as long as when it last ran, else the mean of its rule; cores are shared evenly.
    """
    by_rule: dict[str, list[float]] = defaultdict(list)
    for path in (folder / "logs").rglob("*.tsv"):
        seconds = _seconds(path, folder)
        if seconds is not None:
            by_rule[path.stem].append(seconds)
    total, unknown = 0.0, set()
    known = False
    for job in jobs:
        own = _seconds(folder / job.benchmark, folder) if job.benchmark else None
        if own is None and by_rule[job.rule]:
            own = sum(by_rule[job.rule]) / len(by_rule[job.rule])
        if own is None:
            unknown.add(job.rule)
        else:
            known = True
            total += own * min(job.threads, cores) / cores
    return (total if known else None), sorted(unknown)


def estimate_bytes(jobs: Iterable[Job], config: Config, listings: Listings) -> float:
    """Return about how much the jobs write: frames, slots and models."""
    total = 0.0
    for job in jobs:
        if job.rule in ("make_videos", "make_chunk"):
            total += _video_bytes(config, job, listings)
        elif job.rule == "encode_slots":
            name, split = job.wildcards["dataset"], job.wildcards["split"]
            model = config.savi[job.wildcards["savi"]].model or UNKNOWN_MODEL
            frames = listings(name, split).num_videos * config.datasets[name].num_frames
            total += 4.0 * frames * model.num_slots * model.slot_dim
        elif job.rule in TRAININGS:
            total += TRAINING_BYTES
    return total


def _video_bytes(config: Config, job: Job, listings: Listings) -> float:
    dataset = config.datasets[job.wildcards["dataset"]]
    videos = listings(job.wildcards["dataset"], job.wildcards["split"]).num_videos
    if job.rule == "make_chunk":
        videos = min(videos, dataset.videos_per_chunk)
    height, width = dataset.resolution
    # Frames as they are; compressed annotations take about a tenth of a byte, flow and depth more.
    fields = getattr(dataset, "fields", ())
    per_pixel = 3.1 + 4.0 * ("depth" in fields) + 8.0 * ("flow" in fields)
    return videos * dataset.num_frames * height * width * per_pixel


def _seconds(benchmark: Path, folder: Path) -> float | None:
    """Return how long a job took, None where that is unknown.

    Args:
        benchmark: Its benchmark file, in `logs/<output path>/`.
        folder: Folder of `results/` and `logs/`.
    """
    # A training's benchmark is that of its last session, or of writing its results again.
    product = folder / benchmark.relative_to(folder / "logs").parent
    with contextlib.suppress(ValueError, KeyError, TypeError):
        if benchmark.stem in TRAININGS:
            return float(read_json(product.parent / TRAINING_TIME)["seconds"])
    return _benchmark_seconds(benchmark)


def _benchmark_seconds(path: Path) -> float | None:
    """Return the duration in a Snakemake benchmark file, None where there is none."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        return float(rows[-1]["s"])
    except (IndexError, KeyError, ValueError):
        return None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
