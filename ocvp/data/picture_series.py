"""The pictures of a video in a folder: which belong together, in which order, what is missing.

Names of one video's pictures differ in one number, that of the frame: `rgba_00000.png`,
`img-0001-left.png`, `video_12_frame_003.png`. Where names hold a date and a time, that is the
number. The workflow lists files while it parses: nothing heavy is imported here.
"""

import contextlib
import datetime
import itertools
import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from ocvp.data.raw_videos import PICTURES, natural_order, visible

MOMENT = "%Y%m%d%H%M%S"
MOMENT_DIGITS = 14
EPOCH = datetime.datetime(1970, 1, 1)


class Picture(NamedTuple):
    """A picture of a series."""

    path: Path
    number: int | None
    """What its name counts; None where no name of the folder holds a number."""


class Series(NamedTuple):
    """Pictures whose names differ in one number."""

    name: str
    """The names, with a star in place of the number; of a single picture, its file's name."""
    pictures: list[Picture]


def read_series(folder: Path, pattern: str | None = None) -> list[Picture]:
    """Return the pictures of the one series in a folder, in the order of their numbers.

    Where no name holds a number, all pictures are taken in the order of their names.

    Args:
        folder: The folder; files of other kinds are left alone.
        pattern: Which pictures count, such as `rgba_*`: their names, with or without the ending.

    Raises:
        ValueError: If there are several series, two pictures of one frame, or none that matches.
    """
    files = [path for path in visible(folder) if path.suffix.lower() in PICTURES]
    matching = [path for path in files if pattern is None or _matches(path, pattern)]
    if files and not matching:
        raise ValueError(
            f"pattern is {pattern!r}, which fits none of the {len(files)} pictures in {folder} "
            f"(such as {min(path.name for path in files)})"
        )
    matching.sort(key=lambda path: natural_order(path.name))
    _check_doubles(folder, matching)
    if not any(_numbers(path) for path in matching):
        return [Picture(path, None) for path in matching]
    series = _split(matching)
    # `*` fits 0001_mask too, and yet it is the name of the series without anything else.
    series = [one for one in series if one.name == pattern] or series
    if len(series) > 1:
        raise ValueError(
            f"{folder} holds several series of pictures: {_listed(series)}; one video has names "
            "that differ in one number: keep the others elsewhere (of frames, `pattern` may name "
            "one series)"
        )
    return series[0].pictures


def check_spacing(pictures: Sequence[Picture], start: int, stop: int | None = None) -> None:
    """Check that no picture is missing among some: that the numbers rise evenly, by any step.

    Args:
        pictures: The whole series.
        start: The first one that counts.
        stop: The one after the last that counts; None: to the end.

    Raises:
        ValueError: If a step is more than a tenth off the usual one (names may be times, which
            are rounded), naming the pictures before and after it.
    """
    numbers = [picture.number for picture in pictures if picture.number is not None]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    if not steps:
        return
    usual = statistics.median_low(steps)
    for index, step in enumerate(steps[start : None if stop is None else stop - 1], start):
        if abs(step - usual) > usual / 10:
            before, after = (picture.path for picture in pictures[index : index + 2])
            raise ValueError(
                f"{after} follows {before.name}: the number rises by {step} there, elsewhere by "
                f"{usual}; add what is missing or remove what is too much, or, where it is meant "
                "so, number the pictures without a gap"
            )


def _matches(path: Path, pattern: str) -> bool:
    return fnmatchcase(path.name, pattern) or fnmatchcase(path.stem, pattern)


def _parts(path: Path) -> list[str]:
    """Return text and numbers of a name without its ending, in turn: text comes first and last."""
    return re.split(r"(\d+)", path.stem)


def _numbers(path: Path) -> list[int]:
    return [int(part) for part in _parts(path)[1::2]]


def _check_doubles(folder: Path, paths: Sequence[Path]) -> None:
    """Raise ValueError where two names differ in nothing but the ending, or leading zeros."""
    seen: dict[tuple, Path] = {}
    for path in paths:
        other = seen.setdefault((*_parts(path)[::2], *_numbers(path)), path)
        if other is not path:
            raise ValueError(
                f"{folder} holds two pictures of one frame, {other.name} and {path.name}; keep one "
                "of them"
            )


def _split(paths: Sequence[Path]) -> list[Series]:
    """Return the series among pictures in natural order, without doubles."""
    groups: defaultdict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in paths:
        groups[tuple(_parts(path)[::2])].append(path)
    return [series for group in groups.values() for series in _series_of(group)]


def _series_of(paths: Sequence[Path]) -> list[Series]:
    """Return the series of pictures whose names differ in numbers only."""
    moments = [_moment(path) for path in paths]
    if None not in moments:
        name = "*".join(_parts(paths[0])[::2])
        return [_named(name, list(map(Picture, paths, moments)))]
    rows = [_numbers(path) for path in paths]
    columns = list(zip(*rows, strict=True))
    if not columns:  # one name without a number
        return [_named("", [Picture(paths[0], None)])]
    rising = [i for i, column in enumerate(columns) if all(map(int.__lt__, column, column[1:]))]
    if rising:  # of names that count twice (0001_t0.5), what rises evenly
        frame = max(rising, key=lambda i: (_is_even(columns[i]), i))
        pictures = [Picture(path, row[frame]) for path, row in zip(paths, rows, strict=True)]
        return [_named(_starred(paths[0], frame), pictures)]
    frame = max(range(len(columns)), key=lambda i: (len(set(columns[i])), i))
    found: defaultdict[str, list[Picture]] = defaultdict(list)
    for path, row in zip(paths, rows, strict=True):
        found[_starred(path, frame)].append(Picture(path, row[frame]))
    return [_named(name, pictures) for name, pictures in found.items()]


def _starred(path: Path, number: int) -> str:
    """Return a name without its ending, and with a star in place of one of its numbers."""
    parts = _parts(path)
    parts[2 * number + 1] = "*"
    return "".join(parts)


def _named(name: str, pictures: list[Picture]) -> Series:
    return Series(name if len(pictures) > 1 else pictures[0].path.name, pictures)


def _is_even(column: Sequence[int]) -> bool:
    return len({after - before for before, after in itertools.pairwise(column)}) == 1


def _moment(path: Path) -> int | None:
    """Return the date and time that a name holds, in the unit of its last digit; None: it has none.

    2024-05-01T10-20-30, 20240501_102030_123 and the like.
    """
    digits = "".join(_parts(path)[1::2])
    moment, fraction = digits[:MOMENT_DIGITS], digits[MOMENT_DIGITS:]
    with contextlib.suppress(ValueError):
        seconds = (datetime.datetime.strptime(moment, MOMENT) - EPOCH) // datetime.timedelta(0, 1)
        if seconds > 0 and len(moment) == MOMENT_DIGITS:
            return seconds * 10 ** len(fraction) + int(fraction or 0)
    return None


def _listed(series: Sequence[Series]) -> str:
    names = [
        f"{one.name} ({len(one.pictures)} pictures)" if len(one.pictures) > 1 else one.name
        for one in series[:6]
    ]
    return ", ".join(names) + (f" and {len(series) - 6} more" if len(series) > 6 else "")
