"""Converting a split: the parts of it that jobs make, and the video file that joins them.

A chunk is made from the raw files of its own videos. The merged file does not depend on how the
split was cut.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from ocvp.config.datasets import AnyDataset
from ocvp.config.section import Split, canonical_json
from ocvp.data.chunks import Chunk, check_order, videos_of_chunk
from ocvp.data.raw_files import check_videos, list_videos, manifest
from ocvp.data.sources import open_source
from ocvp.data.videos import Video, VideoFile, VideoWriter, least_bytes
from ocvp.runtime.files import atomic_path, check_writable, companion, write_json
from ocvp.runtime.progress import progress

NOT_CONTENT = ("videos_per_chunk", "root")
"""Keys that do not change a video: how the work is cut, and where raw files lie."""


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
        "source": "{}",  # replaced below where the source says what made it
        **source.attributes(),
    }
    videos = progress(source.videos(part.start, part.stop), f"{name} {split}", total=len(part))
    with (
        atomic_path(output) as temporary,
        VideoWriter(temporary, num_videos=len(part), attributes=attributes) as writer,
    ):
        for number, video in enumerate(videos):
            if number == 0:  # the others are as large
                check_writable(output, len(part) * least_bytes(video))
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
    # --- what the whole split says of itself, once its chunks fit together
    raw = list_videos(dataset, split)
    wanted = {"dataset": name, "split": split, "config": _content(dataset)}
    attributes = _check_chunks(chunks, wanted, len(raw))
    files = manifest(dataset, raw)
    # What was read is known of the whole split only, so chunks do not have it.
    source = {"kind": dataset.kind, **files, **json.loads(str(attributes["source"]))}
    attributes["source"] = json.dumps(source, sort_keys=True)
    # --- its videos, one in memory at a time
    check_writable(output, sum(path.stat().st_size for path in chunks))
    bar = progress(None, f"merge {name} {split}", total=len(raw))
    with bar, atomic_path(output) as temporary:
        with VideoWriter(temporary, num_videos=len(raw), attributes=attributes) as writer:
            for path in chunks:
                with VideoFile(path) as chunk:
                    for video, video_name in enumerate(chunk.names):
                        arrays = {field: chunk.read(field, video) for field in chunk.fields}
                        writer.append(Video(video_name, arrays, chunk.metadata[video]))
                        bar.update()
        # Before the rename: where the videos lie, it does too.
        write_json(companion(output, "manifest.json"), files)
    return files


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
        for key in ("complete", "format_version"):  # the writer sets these itself
            attributes.pop(key)
        shared = shared or attributes  # of the first chunk
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
