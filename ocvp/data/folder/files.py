"""Which files a data set of one's own consists of: frame folders or films, and their masks."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

from ocvp.config.datasets import FolderDataset, SplitShares
from ocvp.config.section import SPLITS, Split
from ocvp.data.picture_series import Picture, check_spacing, read_series
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

    Mirrored ones come after all others.

    Raises:
        MissingDataError: If there are no videos.
        ValueError: If a video is too short, two have one name, a folder holds several series of
            pictures or lacks one, a film lacks a mask, or there is something else.
    """
    root = Path(dataset.root)
    inner = Path() if dataset.shares else Path(split)  # one folder for all splits, or one each
    folder = root / dataset.frames / inner
    check_folder(folder, HELP)
    mask_folder = None if dataset.masks is None else root / dataset.masks / inner
    paths = videos_in(folder, {root / dataset.masks} if dataset.masks else set())
    if dataset.shares:
        num_videos = len(paths)
        paths = _share(paths, dataset.shares, split)
        if not paths:
            raise ValueError(
                f"shares.{split} is {getattr(dataset.shares, split)}, which of the {num_videos} "
                f"videos in {folder} leaves none; give a larger share, or more videos"
            )
    videos = [_folder_video(dataset, path, mask_folder) for path in paths]
    if split != "train":
        return videos
    # No file has a slash in its name.
    return videos + [
        video._replace(name=f"{video.name}/mirror{way}", mirror=way)
        for way in range(1, dataset.num_copies)
        for video in videos
    ]


def videos_in(folder: Path, skipped: Set[Path] = frozenset()) -> list[Path]:
    """Return the films and the folders in a folder, in the order of the numbers in their names.

    Args:
        folder: The folder, which is there.
        skipped: What in it is no video.

    Raises:
        MissingDataError: If there are none.
        ValueError: If there is something else, or two have one name.
    """
    paths = [path for path in visible(folder) if path not in skipped]
    for path in paths:
        if not path.is_dir() and path.suffix.lower() not in FILMS:
            raise ValueError(
                f"{path} is neither a folder of pictures nor a film ({', '.join(FILMS)}); keep "
                "other files elsewhere"
            )
    if not paths:
        raise MissingDataError(f"{folder} holds no videos.\n{HELP}")
    counts = Counter(_name(path) for path in paths)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(f"{folder} holds several videos named {', '.join(twice)}")
    return sorted(paths, key=lambda path: natural_order(path.name))


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
    files = _take(dataset, path) if path.is_dir() else [path]
    masks: list[Path] = []
    if mask_folder is not None:
        own = mask_folder / _name(path)
        check_folder(own, f"It must hold the masks of {path}.")
        masks = _masks_of_pictures(own, files) if path.is_dir() else _masks_of_film(dataset, own)
    return RawVideo(
        _name(path),
        tuple(file.relative_to(root).as_posix() for file in files),
        masks=tuple(mask.relative_to(root).as_posix() for mask in masks),
    )


def _take(dataset: FolderDataset, folder: Path) -> list[Path]:
    """Return the pictures of a folder that are stored."""
    if dataset.fps is not None:
        raise ValueError(
            f"fps is {dataset.fps:g}, but {folder} is a folder of pictures, which says no times; "
            "fps is for films"
        )
    pictures = read_series(folder, dataset.pattern)
    last = dataset.start + dataset.stride * (dataset.num_frames - 1)
    if len(pictures) <= last:
        raise ValueError(
            f"{folder} holds {len(pictures)} pictures; start {dataset.start}, stride "
            f"{dataset.stride} and num_frames {dataset.num_frames} need {last + 1}"
        )
    check_spacing(pictures, dataset.start, last + 1)
    return [picture.path for picture in pictures[dataset.start : last + 1 : dataset.stride]]


# --- masks --------------------------------------------------------------------------------------


def _masks_of_pictures(folder: Path, pictures: Sequence[Path]) -> list[Path]:
    """Return the masks that have the names of pictures."""
    by_stem: dict[str, Path] = {}
    for path in visible(folder):
        if path.suffix.lower() in PICTURES and by_stem.setdefault(path.stem, path) != path:
            twice = sorted((path.name, by_stem[path.stem].name))
            raise ValueError(f"{folder} holds two masks of one frame, {' and '.join(twice)}")
    # Of those that are missing, an error names the file that is expected.
    return [by_stem.get(picture.stem, folder / f"{picture.stem}.png") for picture in pictures]


def _masks_of_film(dataset: FolderDataset, folder: Path) -> list[Path]:
    """Return the masks whose numbers are those of the frames that are stored.

    Raises:
        ValueError: If a frame has none, or numbers start at something else than the first frame.
    """
    masks = read_series(folder)
    by_frame = dict(zip(frames_of_masks(masks), masks, strict=True))
    wanted = [dataset.start + dataset.stride * k for k in range(dataset.num_frames)]
    missing = next((frame for frame in wanted if frame not in by_frame), None)
    if missing is None:
        return [by_frame[frame].path for frame in wanted]
    text = (
        f"{folder} holds no mask of frame {missing} (from 0) of its film; start {dataset.start}, "
        f"stride {dataset.stride} and num_frames {dataset.num_frames} ask for it"
    )
    spacing = math.gcd(*by_frame)
    if spacing > 1 and list(by_frame) == list(range(0, max(by_frame) + 1, spacing)):
        count = len([frame for frame in by_frame if frame >= dataset.start])
        text += (
            f": one frame in {spacing} has a mask, so give start and stride in steps of {spacing}, "
            f"and with stride {spacing} a num_frames of at most {count}"
        )
    raise ValueError(text)


def frames_of_masks(masks: Sequence[Picture]) -> list[int]:
    """Return which frame of a film, from 0, each of its masks belongs to.

    Masks are numbered like the frames, from 0 or from 1. Other consecutive numbers, or none, stand
    for all frames of the film (`are_all_frames`).

    Raises:
        ValueError: If neither holds.
    """
    if are_all_frames(masks):
        return list(range(len(masks)))
    numbers = [mask.number for mask in masks if mask.number is not None]
    if numbers and numbers[0] > 1:
        raise ValueError(
            f"{masks[0].path} is the first mask of its film, and the next is {masks[1].path.name}; "
            "where there is none for each frame, they must be numbered like the film's frames, and "
            "the first one must be that of the first frame: 0 or 1"
        )
    return [number - numbers[0] for number in numbers]


def are_all_frames(masks: Sequence[Picture]) -> bool:
    """Tell whether masks of a film can only be right if there is one for each frame."""
    numbers = [mask.number for mask in masks]
    if not numbers or numbers[0] is None:
        return bool(numbers)
    return numbers[0] > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def first_film(dataset: FolderDataset) -> Path | None:
    """Return the first film of a data set, of whichever split; None where there is none."""
    for inner in [Path()] if dataset.shares else map(Path, SPLITS):
        folder = Path(dataset.root) / dataset.frames / inner
        found = visible(folder) if folder.is_dir() else []
        films = [path for path in found if path.suffix.lower() in FILMS and path.is_file()]
        if films:
            return min(films, key=lambda path: natural_order(path.name))
    return None
