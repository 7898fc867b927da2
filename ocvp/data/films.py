"""Frames of films, turned as players turn them, and how they are spaced in time."""

import contextlib
import itertools
import statistics
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from ocvp.data.frame_files import of_one_size

MILLISECOND = Fraction(1, 1000)  # MKV and WebM round to these, also where they are copied to MP4
SLACK = Fraction(1, 10)
"""Part of the time between two frames by which they may be off, since times are rounded."""


class Pace(NamedTuple):
    """How the frames of a film follow each other."""

    fps: float
    """Frames a second, as the usual time between two frames says."""
    shortest: float
    """Shortest time between two frames, in seconds."""
    longest: float
    """Longest time between two frames, in seconds."""
    is_even: bool
    """Whether all are the same but for rounding."""

    def span(self) -> str:
        """Return the times between frames as text."""
        return f"{self.shortest:.3g} to {self.longest:.3g} s"


class Film:
    """A film, which is decoded from its start each time that frames are read.

    Args:
        path: A film in any format that FFmpeg reads (MP4, WebM, GIF, ...).
        fps: Frames a second to make of it, by taking the frame that is shown at 0, 1 / fps, ...
            seconds from its first one; None: its own frames.

    Attributes:
        pace: How the frames lie in time from the first that was read to the last; None before
            they are read, and where the film does not say.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        self._path = path
        self._fps = fps
        self.pace: Pace | None = None

    def read(
        self, start: int = 0, stop: int | None = None, every: int = 1
    ) -> Iterator[Image.Image]:
        """Read frames as 8-bit RGB, one after the other.

        Args:
            start: Frames to skip.
            stop: Number of the frame, from 0, at which to end; None: the film's end.
            every: Take each n-th frame.

        Raises:
            ValueError: If the file is missing, damaged or holds no film, if a frame has another
                size than those before it, or if `fps` is given and the film does not say when its
                frames are shown, naming the file.
        """
        moments: list[Moment] = []
        with _decoded(self._path) as decoded:
            frames = self._frames(_noting(decoded, moments))
            pictures = (
                (f"frame {number} (from 0)", _picture(frame, number))
                for number, frame in itertools.islice(enumerate(frames), start, stop, every)
            )
            yield from of_one_size(pictures, "those")
        self.pace = pace_of(moments[start:] if self._fps is None else moments)

    def count(self, stop: int | None = None) -> int:
        """Return the number of frames, by decoding them: what a film's head says may be wrong.

        Args:
            stop: Number at which to end; None: the film's end.

        Raises:
            ValueError: As for `read`.
        """
        moments: list[Moment] = []
        with _decoded(self._path) as decoded:
            frames = self._frames(_noting(decoded, moments))
            number = sum(1 for _ in itertools.islice(frames, stop))
        self.pace = pace_of(moments)
        return number

    def _frames(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        return frames if self._fps is None else _sampled(frames, Fraction(self._fps))


class Moment(NamedTuple):
    """When a frame is shown, in seconds."""

    time: Fraction | None
    """None where the film does not say."""
    tick: Fraction
    """What times are multiples of."""


def pace_of(moments: Sequence[Moment]) -> Pace | None:
    """Return how frames follow each other; None for fewer than two, or without their times."""
    times = [moment.time for moment in moments if moment.time is not None]
    if len(times) < len(moments) or len(times) < 2:
        return None
    steps = [after - before for before, after in itertools.pairwise(times)]
    usual = statistics.median_low(steps)
    # AVI counts in whole frames: a tick may be as long as what is looked for.
    slack = min(max(SLACK * usual, moments[0].tick, MILLISECOND), usual / 2)
    regular = [step for step in steps if abs(step - usual) <= slack]
    return Pace(
        fps=float(len(regular) / sum(regular)) if usual > 0 else 0.0,
        shortest=float(min(steps)),
        longest=float(max(steps)),
        is_even=len(regular) == len(steps),
    )


def _moment(frame: av.VideoFrame) -> Moment:
    tick = frame.time_base or Fraction(0)
    return Moment(None if frame.pts is None else frame.pts * tick, tick)


def _noting(frames: Iterator[av.VideoFrame], moments: list[Moment]) -> Iterator[av.VideoFrame]:
    """Yield frames, and write down when each is shown."""
    for frame in frames:
        moments.append(_moment(frame))
        yield frame


def _sampled(frames: Iterator[av.VideoFrame], fps: Fraction) -> Iterator[av.VideoFrame]:
    """Yield the frames that are shown at 0, 1 / fps, 2 / fps, ... seconds from the first one."""
    shown, first, now, step, due = None, Fraction(0), Fraction(0), Fraction(0), 0
    for number, frame in enumerate(frames):
        time = _moment(frame).time
        if time is None or (shown and time < now):
            raise ValueError(f"frame {number} (from 0) has no time after the one before it")
        while shown and first + (due + SLACK) / fps < time:
            yield shown
            due += 1
        if shown is None:
            first = time
        shown, now, step = frame, time, time - now
    if shown is None:
        return
    # The last one is shown as long as it says, else as long as the one before it.
    end = now + (shown.duration * _moment(shown).tick or step)
    while first + (due + SLACK) / fps < end:
        yield shown
        due += 1


def _picture(frame: av.VideoFrame, number: int) -> Image.Image:
    if frame.is_corrupt:  # FFmpeg covers a fault up with what it has
        raise ValueError(f"frame {number} (from 0) is damaged")
    pixels = cast(NDArray[np.uint8], frame.to_ndarray(format="rgb24"))
    # PyAV's `rotation` says nothing of mirroring.
    matrix = cast(bytes | None, frame.side_data.get("DISPLAYMATRIX"))
    if matrix is not None:
        pixels = _turned(pixels, np.frombuffer(matrix, np.int32).reshape(3, 3))
    return Image.fromarray(pixels)


def _turned(pixels: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turn and mirror a frame as phones hold their cameras.

    Args:
        pixels: Shape (H, W, 3).
        matrix: FFmpeg's display matrix: a pixel at (x, y) is shown at (x a + y c, x b + y d), where
            its rows begin with a, b and with c, d.

    Raises:
        ValueError: If it turns by something else than quarters.
    """
    part = matrix[:2, :2].astype(np.int64)
    signs = np.sign(part) * (100 * np.abs(part) > np.abs(part).max())  # a cosine may be rounded
    (a, b), (c, d) = signs.tolist()
    if abs(a * d) + abs(b * c) != 1 or abs(a) + abs(b) != 1:
        raise ValueError("its frames are to be turned by another angle than quarters")
    if b:  # columns become rows
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: b + d, :: a + c])


@contextlib.contextmanager
def _decoded(path: Path) -> Iterator[Iterator[av.VideoFrame]]:
    """Open a film; errors within the block name the file."""
    try:
        stream = _film_stream(path)
        with av.open(str(path)) as container:
            yield cast(Iterator[av.VideoFrame], container.decode(container.streams[stream]))
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a video: {error}") from None


def _film_stream(path: Path) -> int:
    """Return the index of the stream that is the film, and no cover picture.

    Raises:
        ValueError: If there is none.
    """
    with av.open(str(path)) as container:
        films = [
            stream.index
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not films:
            raise ValueError("it holds no film")
        if len(films) == 1:
            return films[0]
        best = container.streams.best("video")
        counts = dict.fromkeys(films, 0)
        for packet in container.demux(films):  # a cover need not be marked as one
            counts[packet.stream_index] += packet.size > 0
    films = [index for index in films if counts[index] > 1] or films
    return best.index if best is not None and best.index in films else films[0]
