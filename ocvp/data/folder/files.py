"""Which files a data set of one's own consists of: frame folders or films, and their masks."""

import hashlib
from collections import Counter
from pathlib import Path

from ocvp.config.datasets import FolderDataset, SplitShares
from ocvp.config.section import Split
from ocvp.data.raw_videos import (
    FILMS,
    PICTURES,
    MissingDataError,
    RawVideo,
    check_folder,
    natural_order,
    visible,
)

HELP = """\
Videos of your own are expected there: a folder of pictures, or a film, for each of them
(docs/own_videos.md)."""


def list_videos(dataset: FolderDataset, split: Split) -> list[RawVideo]:
    """Return every video of one split, in the order of the numbers in their names.

    Raises:
        MissingDataError: If there are no videos.
        ValueError: If a video is too short, two have one name, or there is something else.
    """
    root = Path(dataset.root)
    inner = Path() if dataset.shares else Path(split)  # one folder for all splits, or one each
    folder = root / dataset.frames / inner
    check_folder(folder, HELP)
    mask_folder = None if dataset.masks is None else root / dataset.masks / inner
    skipped = {root / dataset.masks} if dataset.masks else set()
    paths = [path for path in visible(folder) if path not in skipped]
    for path in paths:
        if not path.is_dir() and path.suffix.lower() not in FILMS:
            raise ValueError(
                f"{path} is neither a folder of pictures nor a film ({', '.join(FILMS)}); keep "
                "other files elsewhere"
            )
    if not paths:
        raise MissingDataError(f"{folder} holds no videos.\n{HELP}")
    paths = sorted(paths, key=lambda path: natural_order(path.name))
    counts = Counter(_name(path) for path in paths)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(f"{folder} holds several videos named {', '.join(twice)}")
    if dataset.shares:
        paths = _share(paths, dataset.shares, split)
        if not paths:
            raise ValueError(
                f"shares.{split} is {getattr(dataset.shares, split)}, which of the {len(counts)} "
                f"videos in {folder} leaves none; give a larger share, or more videos"
            )
    return [_folder_video(dataset, path, mask_folder) for path in paths]


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _share(paths: list[Path], shares: SplitShares, split: Split) -> list[Path]:
    """Return the part of a folder's videos that a split gets."""
    # by names alone: the same on every machine, and for every split
    shuffled = sorted(paths, key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
    first = round(shares.train * len(paths))
    second = round((shares.train + shares.val) * len(paths))  # of the sum, so that no video is lost
    start, stop = {"train": (0, first), "val": (first, second), "test": (second, None)}[split]
    return sorted(shuffled[start:stop], key=lambda path: natural_order(path.name))


def _folder_video(dataset: FolderDataset, path: Path, mask_folder: Path | None) -> RawVideo:
    root = Path(dataset.root)
    files = _take(dataset, path, _pictures(path)) if path.is_dir() else [path]
    masks: list[Path] = []
    if mask_folder is not None:
        own = mask_folder / _name(path)
        check_folder(own, f"It must hold the masks of {path}.")
        pictures = _pictures(own)
        if path.is_dir():  # a mask has the name of its frame
            by_stem = {picture.stem: picture for picture in pictures}
            masks = [by_stem.get(file.stem, own / f"{file.stem}.png") for file in files]
        else:
            masks = _take(dataset, own, pictures)
    return RawVideo(
        _name(path),
        tuple(file.relative_to(root).as_posix() for file in files),
        masks=tuple(mask.relative_to(root).as_posix() for mask in masks),
    )


def _take(dataset: FolderDataset, folder: Path, pictures: list[Path]) -> list[Path]:
    """Return the pictures that are stored."""
    taken = pictures[dataset.start :: dataset.stride][: dataset.num_frames]
    if len(taken) < dataset.num_frames:
        needed = dataset.start + dataset.stride * (dataset.num_frames - 1) + 1
        raise ValueError(
            f"{folder} holds {len(pictures)} pictures; start {dataset.start}, stride "
            f"{dataset.stride} and num_frames {dataset.num_frames} need {needed}"
        )
    return taken


def _pictures(folder: Path) -> list[Path]:
    found = [path for path in visible(folder) if path.suffix.lower() in PICTURES]
    return sorted(found, key=lambda path: natural_order(path.name))
