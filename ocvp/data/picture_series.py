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
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from ocvp.data.raw_videos import PICTURES, visible

NUMBER = re.compile(r"(\d+)")
MOMENT = "%Y%m%d%H%M%S"
MOMENT_DIGITS = 14
EPOCH = datetime.datetime(1970, 1, 1)


class Picture(NamedTuple):
    """A picture of a series."""

    path: Path
    number: int | None
    """What its name counts; None where no name of the folder holds a number."""


class Name(NamedTuple):
    """A picture's name, taken apart."""

    path: Path
    texts: tuple[str, ...]
    """What stands before, between and after the numbers, without the ending."""
    numbers: tuple[int, ...]

    def starred(self, index: int) -> str:
        """Return the name without its ending, and with a star in place of one of its numbers."""
        parts = NUMBER.split(self.path.stem)
        parts[2 * index + 1] = "*"
        return "".join(parts)


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
    files = [path for path in visible(folder) if path.name.lower().endswith(PICTURES)]
    matching = [path for path in files if pattern is None or _matches(path, pattern)]
    if files and not matching:
        raise ValueError(
            f"pattern is {pattern!r}, which fits none of the {len(files)} pictures in {folder} "
            f"(such as {min(path.name for path in files)})"
        )
    groups: defaultdict[tuple[str, ...], list[Name]] = defaultdict(list)
    for path in matching:
        parts = NUMBER.split(path.name.rpartition(".")[0])
        name = Name(path, tuple(parts[::2]), tuple(map(int, parts[1::2])))
        groups[name.texts].append(name)
    _check_doubles(folder, groups.values())
    if all(len(texts) == 1 for texts in groups):
        return [Picture(path, None) for path in sorted(matching)]
    series = [one for texts in sorted(groups) for one in _series_of(groups[texts])]
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


def _check_doubles(folder: Path, groups: Iterable[list[Name]]) -> None:
    """Sort names by their numbers, and raise ValueError where two differ in no text or number."""
    for names in groups:
        names.sort(key=lambda name: (name.numbers, name.path.name))
        for before, after in itertools.pairwise(names):
            if before.numbers == after.numbers:  # another ending, or leading zeros
                raise ValueError(
                    f"{folder} holds two pictures of one frame, {before.path.name} and "
                    f"{after.path.name}; keep one of them (of frames, `pattern` may name those "
                    "that count, such as *.png)"
                )


def _series_of(names: list[Name]) -> list[Series]:
    """Return the series among names in the order of their numbers, in which they differ."""
    moments = [_moment(name) for name in names]
    if None not in moments:
        pictures = [Picture(name.path, time) for name, time in zip(names, moments, strict=True)]
        return [_series("*".join(names[0].texts), pictures)]
    columns = list(zip(*(name.numbers for name in names), strict=True))
    if not columns:  # one name without a number
        return [_series("", [Picture(names[0].path, None)])]
    rising = [i for i, column in enumerate(columns) if all(map(int.__lt__, column, column[1:]))]
    if rising:  # of names that count twice (0001_t0.5), what rises evenly
        frame = max(rising, key=lambda i: (_is_even(columns[i]), i))
        pictures = [Picture(name.path, name.numbers[frame]) for name in names]
        return [_series(names[0].starred(frame), pictures)]
    frame = max(range(len(columns)), key=lambda i: (len(set(columns[i])), i))
    found: defaultdict[str, list[Picture]] = defaultdict(list)
    for name in names:
        found[name.starred(frame)].append(Picture(name.path, name.numbers[frame]))
    return [_series(name, pictures) for name, pictures in found.items()]


def _series(name: str, pictures: list[Picture]) -> Series:
    return Series(name if len(pictures) > 1 else pictures[0].path.name, pictures)


def _is_even(column: Sequence[int]) -> bool:
    return len({after - before for before, after in itertools.pairwise(column)}) == 1


def _moment(name: Name) -> int | None:
    """Return the date and time that a name holds, in the unit of its last digit; None: it has none.

    2024-05-01T10-20-30, 20240501_102030_123 and the like.
    """
    digits = "".join(NUMBER.findall(name.path.stem))
    moment, fraction = digits[:MOMENT_DIGITS], digits[MOMENT_DIGITS:]
    if len(moment) < MOMENT_DIGITS:
        return None
    with contextlib.suppress(ValueError):
        seconds = (datetime.datetime.strptime(moment, MOMENT) - EPOCH) // datetime.timedelta(0, 1)
        return seconds * 10 ** len(fraction) + int(fraction or 0) if seconds > 0 else None
    return None


def _listed(series: Sequence[Series]) -> str:
    names = [
        f"{one.name} ({len(one.pictures)} pictures)" if len(one.pictures) > 1 else one.name
        for one in series[:6]
    ]
    return ", ".join(names) + (f" and {len(series) - 6} more" if len(series) > 6 else "")
