"""What a run of the workflow will do, how long it may take, and the disk it needs."""

import contextlib
import os
import shlex
import shutil
import statistics
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ocvp.config.savi import SaviModel
from ocvp.config.tree import Config
from ocvp.data.raw_files import Listing
from ocvp.records.contents import TrainingTime
from ocvp.records.records import TRAINING_TIME
from ocvp.records.rules import RULES
from ocvp.runtime.benchmark_files import number, read_benchmark
from ocvp.runtime.json_files import read_content
from ocvp.study.chains import num_rollouts
from ocvp.study.staleness import damaged_records, other_versions, unknown_faults

# A trained model with its optimiser's state, best and last weights, and TensorBoard's files.
TRAINING_BYTES = 60e6
TRAININGS = ("fit_savi", "fit_predictor")
# Stands for the model of an entry that only its pretrained file knows.
UNKNOWN_MODEL = SaviModel(num_slots=11)

WIDTH = 100
"""Characters of a line."""
FORBIDDEN = {
    os.pathsep: "it would be two folders in PYTHONPATH",
    "{}": "Snakemake takes braces for a wildcard",
}
"""Characters that the path of the project may not have, and why."""


class Job(NamedTuple):
    """One job that is about to run."""

    rule: str
    wildcards: dict[str, str]
    threads: int
    benchmark: Path | None
    """Where an earlier run of it left its duration."""


def check_folder(project: Path) -> None:
    """Check that Snakemake and Python can work with the name of the project's folder.

    Raises:
        ValueError: If they cannot.
    """
    for characters, reason in FORBIDDEN.items():
        if found := sorted(set(characters) & set(str(project))):
            raise ValueError(
                f"the project lies in {project}, but {reason}; rename the folder so that it has no "
                f"{' and no '.join(found)}"
            )


def set_paths() -> None:
    """Set in which folders jobs look for programs and packages.

    They run the Python that runs the workflow, also where its environment is not active, and
    import nothing from the folder that they run in, that of the results.
    """
    folder = str(Path(sys.executable).parent)
    if os.environ["PATH"].split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, os.environ["PATH"]])
    # An empty entry, as of PYTHONPATH=$PYTHONPATH:/more where it was not set, is that folder.
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, entries))


def python_command() -> str:
    """Return the words of a shell that run Python with this package, installed or not.

    Each command says where the package lies, because Snakemake clears PYTHONPATH in environments
    of conda. With -P Python does not import from the working folder.
    """
    package = shlex.quote(str(Path(__file__).absolute().parents[2]))
    return f'PYTHONPATH={package}"${{PYTHONPATH:+:$PYTHONPATH}}" python -P'


Listings = Callable[[str, str], Listing]
"""From the names of a data set and a split to what it consists of."""


def show(workflow: Any, config: Config, listings: Listings) -> None:
    """Print the plan of a Snakemake run that is about to start."""
    if text := forecast(workflow, config, listings):
        print(text, file=sys.stderr, flush=True)


def forecast(workflow: Any, config: Config, listings: Listings) -> str:
    """Return the plan of a Snakemake run; empty where no job is this workflow's."""
    jobs, others = [], []
    for job in workflow.dag.needrun_jobs():
        # A workflow that imports this one may rename its rules, and has rules of its own.
        rule = Path(job.benchmark or "").stem
        if rule in RULES:
            jobs.append(Job(rule, dict(job.wildcards_dict), job.threads, Path(job.benchmark)))
        else:
            others.append(job.rule.name)  # as `all`, which Snakemake counts too
    settings = workflow.resource_settings
    # On a cluster there are no cores to share, but so many jobs at once (`nodes`).
    cores = settings.cores or settings.nodes or 1
    return describe(jobs, others, config, listings, Path.cwd(), cores) if jobs else ""


def show_differences(config: Config) -> None:
    """Print what Snakemake does not notice of results that are there.

    That is: records that are damaged; products that other versions of packages made; and, of those
    that were copied without `.snakemake`, the ones that do not belong to the study as it is now.
    """
    if not Path("results").is_dir():
        return
    texts = (damaged_records(config), other_versions(config), unknown_faults(config))
    for text in filter(None, texts):
        print(text, file=sys.stderr, flush=True)


def describe(
    jobs: list[Job],
    others: list[str],
    config: Config,
    listings: Listings,
    folder: Path,
    cores: int,
) -> str:
    """Return the plan as text.

    Args:
        jobs: Jobs that are about to run.
        others: Rules of the jobs that are not this workflow's, or only ask for the others' files.
        config: The study's config.
        listings: How many videos a split has.
        folder: Folder of `results/` and `logs/`.
        cores: Cores that jobs share.
    """
    counts = Counter(job.rule for job in jobs)
    in_order = {rule: counts[rule] for rule in RULES if rule in counts} | Counter(sorted(others))
    names = ", ".join(f"{count} {rule}" if count > 1 else rule for rule, count in in_order.items())
    text = f"This run: {len(jobs) + len(others)} jobs ({names})."
    lines = textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False)
    if "draw_rollouts" in counts:
        asked = config.figures.num_videos
        drawn = num_rollouts(config, lambda *names: listings(*names).num_videos)
        if drawn < asked:
            lines.append(f"Rollouts: {drawn}, not {asked}: a scored split holds no more videos.")
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
    # --- what earlier runs took
    for path in (folder / "logs").rglob("*.tsv"):
        seconds = _seconds(path, folder)
        if seconds is not None:
            by_rule[path.stem].append(seconds)
    # --- what these jobs will take
    times, unknown = [], set()
    for job in jobs:
        own = _seconds(folder / job.benchmark, folder) if job.benchmark else None
        if own is None and by_rule[job.rule]:
            own = statistics.fmean(by_rule[job.rule])
        if own is None:
            unknown.add(job.rule)
        else:
            times.append(own * min(job.threads, cores) / cores)
    return (sum(times) if times else None), sorted(unknown)


def estimate_bytes(jobs: Iterable[Job], config: Config, listings: Listings) -> float:
    """Return about how much the jobs write: frames, slots and models."""
    total = 0.0
    for job in jobs:
        if job.rule in ("make_videos", "make_chunk"):
            total += _video_bytes(config, job, listings)
        elif job.rule in ("encode_chunk", "encode_slots"):
            name, split = job.wildcards["dataset"], job.wildcards["split"]
            savi = config.savi[job.wildcards["savi"]]
            videos = listings(name, split).num_videos
            if job.rule == "encode_chunk":
                videos = min(videos, savi.extraction.videos_per_chunk)
            model = savi.model or UNKNOWN_MODEL
            frames = videos * config.datasets[name].num_frames
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
    per_pixel = 3.1 + sum(4.0 if field == "depth" else 8.0 for field in fields)
    return videos * dataset.num_frames * height * width * per_pixel


def _seconds(benchmark: Path, folder: Path) -> float | None:
    """Return how long a job took, None where that is unknown.

    Args:
        benchmark: Its benchmark file, in `logs/<output path>/`.
        folder: Folder of `results/` and `logs/`.
    """
    # A training's benchmark is that of its last session, or of writing its results again.
    product = folder / benchmark.relative_to(folder / "logs").parent
    with contextlib.suppress(ValueError):
        if benchmark.stem in TRAININGS:
            return float(read_content(product.parent / TRAINING_TIME, TrainingTime)["seconds"])
    return number(read_benchmark(benchmark).get("s"))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
