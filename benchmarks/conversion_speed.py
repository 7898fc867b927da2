"""Measure how fast OBJ3D and MOVi-A are converted, and project how long all of them takes.

    python benchmarks/conversion_speed.py [--obj3d-root ROOT] [--movi-root ROOT] [--cores N]

What is measured is what one job of the workflow does (`ocvp.prepare_data`), in a process of its
own, on the first training videos. Without a root the data are made here in the format of the real
ones: episodes of 100 frames, of which 50 are read, of 128x128 pixels (OBJ3D's own size is only
known to be larger than 64x64), and the MOVi-A records that the tests use. The files are then in the
system's cache: a disk must deliver what the column "reads" says times the number of cores.
Each figure is the fastest of several rounds: what else the machine does can only slow a round down.
"""

import argparse
import concurrent.futures
import contextlib
import io
import multiprocessing
import os
import resource
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# What else is needed is imported by the processes that need it: the peak memory of a process that
# converts is then its own.

FIXTURE = Path(__file__).parents[1] / "tests" / "files" / "movi_a" / "fixture.tar.xz"
FULL_SIZE = {
    "obj3d": {"train": 2920, "val": 200, "test": 200},
    "movi_a": {"train": 9703, "val": 125, "test": 125},
}
"""Videos of the splits of the real data sets."""
ENTRIES: dict[str, dict[str, Any]] = {
    "obj3d": {"kind": "obj3d", "num_frames": 50},
    "movi_a": {"kind": "movi"},
}
EPISODE_FRAMES = 100
EPISODE_SIDE = 128
SIMULATED_EPISODES = 2  # the others are copies: only format and size count


class Measured(NamedTuple):
    """What a process that converts took."""

    num_videos: int
    start: float
    """Seconds until the program is imported."""
    convert: float
    """Seconds for a video, in a chunk."""
    merge: float
    """Seconds for a video, when chunks are joined."""
    read: float
    """Megabytes on disk of a video."""
    peak: float
    """Most memory, in megabytes."""


def main() -> int:
    """Print the table; see the module's head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--obj3d-root", type=Path, help="folder of train, val and test")
    parser.add_argument("--movi-root", type=Path, help="folder of movi_a/128x128/1.0.0")
    parser.add_argument(
        "--cores", type=int, default=os.cpu_count() or 1, help="cores to project for"
    )
    parser.add_argument("--videos", type=int, default=20, help="videos of a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each figure")
    args = parser.parse_args()
    roots = {"obj3d": args.obj3d_root, "movi_a": args.movi_root}
    with tempfile.TemporaryDirectory() as folder:
        for name, root in roots.items():
            if root is None:
                root = Path(folder) / name
                make = {"obj3d": make_obj3d, "movi_a": unpack_movi}[name]
                in_own_process(make, root, args.videos)
            output = Path(folder) / "converted"
            try:
                found = in_own_process(measure, name, root, output, args.videos, args.rounds)
            except ValueError as error:
                parser.exit(1, f"error: {error}\n")
            print(describe(name, found, args.cores, is_given=roots[name] is not None), flush=True)
    return 0


def measure(name: str, root: Path, output: Path, num_videos: int, num_rounds: int) -> Measured:
    """Convert the first training videos of a data set, and join what is one chunk."""
    start = time.perf_counter()
    from ocvp.config.datasets import DatasetStage
    from ocvp.data.conversion import make_chunk, merge_chunks
    from ocvp.data.raw_files import list_videos, manifest
    from ocvp.data.sources import open_source

    entry = ENTRIES[name] | {"root": str(root), "videos_per_chunk": num_videos}
    dataset = DatasetStage.model_validate(entry | {"max_videos": {"train": num_videos}}).root
    listed = list_videos(dataset, "train")
    open_source(dataset, "train", listed)  # imports what reads this kind
    seconds_to_start = time.perf_counter() - start
    chunk, split = output / "chunk0.h5", output / "train.h5"
    # Where there are fewer videos (the tests' records), they are converted several times.
    repeats = -(-num_videos // len(listed))
    convert, merge = [], []
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        for _ in range(num_rounds):
            start = time.perf_counter()
            for _ in range(repeats):
                make_chunk(dataset, name, "train", 0, chunk)
            convert.append((time.perf_counter() - start) / repeats / len(listed))
            start = time.perf_counter()
            merge_chunks(dataset, name, "train", [chunk], split)
            merge.append((time.perf_counter() - start) / len(listed))
    everything = list_videos(DatasetStage.model_validate(entry).root, "train")
    return Measured(
        num_videos=len(listed),
        start=seconds_to_start,
        convert=min(convert),
        merge=min(merge),
        read=manifest(dataset, everything)["num_bytes"] / len(everything) / 1e6,
        peak=peak_memory(),
    )


def peak_memory() -> float:
    """Return the most memory that this process has had, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def describe(name: str, found: Measured, cores: int, is_given: bool) -> str:
    """Return a data set's part of the table.

    Parts are converted on all cores at once; joining the largest split is one job.
    """
    splits = FULL_SIZE[name]
    total = sum(splits.values())
    num_chunks = sum(-(-number // 50) for number in splits.values())
    seconds = (total * found.convert + num_chunks * found.start) / cores
    seconds += splits["train"] * found.merge
    source = "your files" if is_given else {"obj3d": "made here", "movi_a": "the tests'"}[name]
    return (
        f"{name:7} {1 / found.convert:6.1f} videos/s on one core ({found.num_videos} videos, "
        f"{source}), merging {1 / found.merge:.0f} videos/s\n"
        f"{'':7} reads {found.read / found.convert:.0f} MB/s on one core, peak memory "
        f"{found.peak:.0f} MB, a job starts in {found.start:.1f} s\n"
        f"{'':7} all {total:,} videos on {cores} cores: {seconds / 60:.1f} minutes"
    )


def make_obj3d(root: Path, num_videos: int) -> None:
    """Write an OBJ3D tree of training episodes (see `EPISODE_FRAMES`)."""
    from PIL import Image

    from ocvp.config.datasets import TabletopDataset
    from ocvp.data.tabletop.simulation import simulate

    dataset = TabletopDataset(
        kind="tabletop",
        resolution=(EPISODE_SIDE, EPISODE_SIDE),
        num_frames=EPISODE_FRAMES,
        num_videos={"train": SIMULATED_EPISODES, "val": 1, "test": 1},
    )
    for video in range(min(num_videos, SIMULATED_EPISODES)):
        folder = root / "train" / str(video + 1)
        folder.mkdir(parents=True)
        frames = simulate(dataset, "train", video)["frames"]
        for frame in range(EPISODE_FRAMES):
            Image.fromarray(frames[frame]).save(folder / f"test_{frame + 1}.png")
    for video in range(SIMULATED_EPISODES, num_videos):
        original = root / "train" / str(video % SIMULATED_EPISODES + 1)
        shutil.copytree(original, root / "train" / str(video + 1))


def unpack_movi(root: Path, num_videos: int) -> None:
    """Unpack the MOVi-A records that the tests use; there are 4 training videos."""
    with tarfile.open(FIXTURE) as tar:
        # no argument: Python 3.11.3 and before have no filters
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(root)


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process, which inherits nothing, and return its result."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    sys.exit(main())
