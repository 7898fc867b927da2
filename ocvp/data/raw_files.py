"""Which files on disk a data set is converted from: its videos, their names and sizes.

The workflow lists them while it parses, so nothing is read here but folders, and nothing heavy is
imported. What a product depends on is the manifest: names relative to the data set's root, and
sizes. Where the files lie does not count.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ocvp.config.datasets import AnyDataset
from ocvp.config.section import Split
from ocvp.data.raw_videos import MissingDataError, RawVideo
from ocvp.data.size_memory import SizeMemory, size_of
from ocvp.data.sources import files_of
from ocvp.runtime.json_files import Content, read_content


class Manifest(Content):
    """What `manifest` writes down and `listing` reads."""

    num_videos: int = Field(ge=0)
    digest: str


@dataclass(frozen=True)
class Listing:
    """What one split of a data set consists of."""

    num_videos: int
    digest: str
    """Of names and sizes of all files; empty where nothing is read from disk."""
    videos: Sequence[str] = ()
    """Names and sizes of the files of each video, as text; none where the raw files are gone."""

    def part_digest(self, start: int, stop: int) -> str:
        """Return the digest of the videos `start` to `stop` - 1; of all where these are gone."""
        return _digest(self.videos[start:stop]) if self.videos else self.digest


def list_videos(dataset: AnyDataset, split: Split) -> list[RawVideo]:
    """Return the videos of one split, in a fixed order.

    Raises:
        MissingDataError: If the data are not there, saying what is expected where, how large it
            is, and how to get it.
        ValueError: If there is something else than expected.
    """
    videos: list[RawVideo] = files_of(dataset).list_videos(dataset, split)
    return videos[: getattr(getattr(dataset, "max_videos", None), split, None)]


def check_videos(dataset: AnyDataset, split: Split, videos: Sequence[RawVideo]) -> None:
    """Check, before videos are converted, what their listing took for granted.

    Raises:
        ValueError: If a shard holds another number of records than the file beside it says.
    """
    check = getattr(files_of(dataset), "check_videos", None)  # MOVi has one
    if check is not None:
        check(dataset, split, videos)


def file_sizes(
    dataset: AnyDataset, videos: Sequence[RawVideo], memory: SizeMemory | None = None
) -> dict[str, int]:
    """Return the size in bytes of each file that videos consist of.

    Args:
        dataset: The data set.
        videos: Videos of one split.
        memory: Sizes that are taken where the folders of pictures were not touched since; None:
            look at every file.

    Raises:
        ValueError: If a file is missing, naming it.
    """
    root = str(Path(getattr(dataset, "root", ".")))
    sizes: dict[str, int] = {}
    groups = (names for video in videos for names in (video.files, video.masks))
    try:
        for names in groups:
            if len(names) > 1 and memory is not None:
                sizes.update(zip(names, memory.sizes(root, names), strict=True))
                continue
            for name in names:
                if name not in sizes:  # a shard holds many videos
                    sizes[name] = size_of(f"{root}/{name}")
    except OSError as error:
        raise ValueError(
            f"{error.filename} cannot be read ({error.strerror}); num_frames and stride of the "
            "data set ask for it"
        ) from None
    return sizes


def _texts(videos: Sequence[RawVideo], sizes: Mapping[str, int]) -> list[str]:
    """Return names and sizes of the files of each video as text."""
    texts = []
    for video in videos:
        files = (*video.files, *video.masks)
        # The root may point anywhere into the tree of MOVi: of a shard, its own name counts.
        names = files if video.name else [file.rpartition("/")[2] for file in files]
        lines = [f"{video.record}\0{n}\0{sizes[f]}\n" for n, f in zip(names, files, strict=True)]
        texts.append("".join(lines))
    return texts


def _digest(texts: Sequence[str]) -> str:
    """Return the digest of videos; empty where they have no files, as those that are simulated."""
    text = "".join(texts)
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def manifest(dataset: AnyDataset, videos: Sequence[RawVideo]) -> dict[str, Any]:
    """Return what is written down of the files that videos consist of.

    Raises:
        ValueError: If a file is missing, naming it.
    """
    sizes = file_sizes(dataset, videos)
    return {
        "num_videos": len(videos),
        "num_files": len(sizes),
        "num_bytes": sum(sizes.values()),
        "digest": _digest(_texts(videos, sizes)),
    }


def listing(dataset: AnyDataset, split: Split, record: Path, memory: Path | None = None) -> Listing:
    """Return what a split consists of; where the raw files are gone, as they once were.

    Args:
        dataset: The data set.
        split: The split.
        record: The manifest that was written when the split was converted.
        memory: Where sizes are kept from one parse to the next (see `SizeMemory`); None: nowhere.

    Raises:
        MissingDataError: If there are neither raw files nor a record.
        ValueError: If the raw files are not as expected.
    """
    try:
        videos = list_videos(dataset, split)
    except MissingDataError as missing:
        if not os.path.lexists(record):
            raise
        try:
            stored = read_content(record, Manifest)
        except ValueError as damage:
            raise MissingDataError(f"{damage}; and {str(missing).splitlines()[0]}") from None
        return Listing(stored["num_videos"], stored["digest"])
    sizes = SizeMemory(memory)
    texts = _texts(videos, file_sizes(dataset, videos, sizes))
    digest = _digest(texts)
    if sizes.is_used and _recorded_digest(record) not in (digest, None):
        sizes.forget()
        texts = _texts(videos, file_sizes(dataset, videos, sizes))
        digest = _digest(texts)
    sizes.save()
    return Listing(len(videos), digest, texts)


def _recorded_digest(record: Path) -> str | None:
    """Return the digest in a manifest; None where there is none, or it is damaged."""
    with contextlib.suppress(ValueError):
        return str(read_content(record, Manifest)["digest"])
    return None
