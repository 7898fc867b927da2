"""Make the video files of a data set: `chunk` makes a part of a split, `merge` joins the parts.

Any process can make any chunk, and the merged file does not depend on how the split was cut. A
chunk that is interrupted is made again, those that are finished are kept.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ocvp.config.datasets import AnyDataset, DatasetStage
from ocvp.config.section import Split, canonical_json
from ocvp.data.chunks import Chunk, check_order, videos_of_chunk
from ocvp.data.raw_files import check_videos, list_videos, manifest
from ocvp.data.sources import open_source
from ocvp.data.videos import Video, VideoFile, VideoWriter
from ocvp.records.records import Making
from ocvp.runtime.files import atomic_path, check_writable, companion, remove_unfinished, write_json
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_section, run, stage_parser
from ocvp.runtime.progress import progress

# What does not change a video: how the work is cut, and where raw files lie.
NOT_CONTENT = ("videos_per_chunk", "root")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; see the module's head."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output)
    remove_unfinished(args.output)
    dataset = read_section(DatasetStage, args.config, "--config").root
    if args.root is not None and hasattr(dataset, "root"):
        dataset = dataset.model_copy(update={"root": str(args.root)})
    if args.step == "chunk":
        # Nothing accompanies chunks: the workflow deletes them, and would leave it behind.
        make_chunk(dataset, args.dataset, args.split, args.chunk, args.output)
    else:
        making = Making("make_videos", argv, dataset.kind)
        raw = merge_chunks(dataset, args.dataset, args.split, args.chunks, args.output)
        making.finish(
            [args.output],
            dataset,
            joined=len(args.chunks),
            raw={"root": args.root and str(args.root)} | raw,
        )
    return 0


def make_chunk(dataset: AnyDataset, name: str, split: Split, chunk: int, output: Path) -> None:
    """Write the videos of one chunk of a split.

    Args:
        dataset: The data set's config.
        name: Its name, for the file's attributes.
        split: The split.
        chunk: Index of the chunk, from 0.
        output: The file to write.

    Raises:
        ValueError: If the split has no such chunk, or raw files are missing or damaged.
    """
    raw = list_videos(dataset, split)
    part = videos_of_chunk(chunk, dataset.videos_per_chunk, len(raw), split)
    check_videos(dataset, split, raw[part.start : part.stop])
    source = open_source(dataset, split, raw)
    attributes = {
        "dataset": name,
        "split": split,
        "config": _content(dataset),
        "first_video": part.start,
        "source": "{}",
        **source.attributes(),
    }
    videos = progress(source.videos(part.start, part.stop), f"{name} {split}", total=len(part))
    with (
        atomic_path(output) as temporary,
        VideoWriter(temporary, num_videos=len(part), attributes=attributes) as writer,
    ):
        for video in videos:
            writer.append(video)


def merge_chunks(
    dataset: AnyDataset, name: str, split: Split, chunks: Sequence[Path], output: Path
) -> dict[str, object]:
    """Join the chunks of a split into its video file, and write the manifest of its raw files.

    Args:
        dataset: The data set's config.
        name: Its name.
        split: The split.
        chunks: All chunks of the split, in order.
        output: The file to write.

    Returns:
        The manifest.

    Raises:
        ValueError: If a chunk is damaged, is of another data set, split or config, or if the
            chunks are not the whole split in order.
    """
    raw = list_videos(dataset, split)
    wanted = {"dataset": name, "split": split, "config": _content(dataset)}
    attributes = _check_chunks(chunks, wanted, len(raw))
    files = manifest(dataset, raw)
    source = {"kind": dataset.kind, **files, **json.loads(str(attributes["source"]))}
    attributes["source"] = json.dumps(source, sort_keys=True)
    bar = progress(None, f"merge {name} {split}", total=len(raw))
    with (
        bar,
        atomic_path(output) as temporary,
        VideoWriter(temporary, num_videos=len(raw), attributes=attributes) as writer,
    ):
        for path in chunks:
            with VideoFile(path) as chunk:
                for video, video_name in enumerate(chunk.names):
                    arrays = {field: chunk.read(field, video) for field in chunk.fields}
                    writer.append(Video(video_name, arrays, chunk.metadata[video]))
                    bar.update()
    write_json(manifest_path(output), files)
    return files


def manifest_path(output: Path) -> Path:
    """Return where the manifest of a video file lies."""
    return companion(output, "manifest.json")


def _check_chunks(
    chunks: Sequence[Path], wanted: dict[str, str], num_videos: int
) -> dict[str, object]:
    """Return the attributes that all chunks share, once they are found to fit together."""
    shared: dict[str, object] = {}
    found = []
    for path in chunks:
        with VideoFile(path) as chunk:
            attributes = dict(chunk.attributes)
            found.append(Chunk(path, int(attributes.pop("first_video")), chunk.num_videos))
        for key in ("complete", "format_version"):
            attributes.pop(key)
        shared = shared or attributes
        for key, value in (shared | wanted).items():
            if attributes.get(key) != value:
                raise ValueError(
                    f"{path} has {key} {attributes.get(key)}; to be merged it must have {value}; "
                    "delete it and run snakemake again"
                )
    check_order(found, num_videos)
    return {**shared, "first_video": 0}


def _content(dataset: AnyDataset) -> str:
    """Return the part of a data set's config that its videos depend on, as canonical JSON."""
    values = json.loads(canonical_json(dataset))
    return canonical_json({key: values[key] for key in values if key not in NOT_CONTENT})


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ocvp.prepare_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(dest="step", required=True)
    chunk = _add_step(steps, "chunk", help="make a part of a split")
    merge = _add_step(steps, "merge", help="join the parts of a split")
    chunk.add_argument("--chunk", required=True, type=int, help="index of the part, from 0")
    merge.add_argument("--chunks", required=True, type=Path, nargs="+", help="all parts, in order")
    return parser.parse_args(argv)


def _add_step(
    steps: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, *, help: str
) -> argparse.ArgumentParser:
    """Add a step with the options that both steps have."""
    step = steps.add_parser(
        name,
        help=help,
        parents=[stage_parser(None)],
        # Both the common parser and the step define --help.
        conflict_handler="resolve",
    )
    step.add_argument("--dataset", required=True, help="the data set's name")
    step.add_argument("--split", required=True, choices=get_args(Split), help="the split")
    step.add_argument(
        "--root", type=Path, help="folder of the raw files (default: `root` of --config)"
    )
    step.add_argument("--output", required=True, type=Path, help="the video file to write")
    return step


if __name__ == "__main__":
    run(main)
