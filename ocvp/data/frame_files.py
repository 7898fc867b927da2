"""Frames as they lie on disk: pictures, one file each, and films.

Every file is decoded to its end, and what is damaged is an error that names it.
"""

import contextlib
import io
import itertools
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

# What Pillow raises, besides its own errors, where a file is damaged.
PICTURE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # length, name and CRC of the last chunk
DEEP_MODES = ("I", "F")  # and I;16 and so on: more than 8 bits


def load_picture(path: Path) -> Image.Image:
    """Read one picture in its own mode, and check that it is whole.

    Raises:
        ValueError: If the file is missing, truncated, damaged or no picture, naming it.
    """
    # Any library of the process may have set this, which hides truncated files.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        content = path.read_bytes()
        picture = Image.open(io.BytesIO(content))
        if picture.format == "PNG":
            # Decoding checks no CRC and does not miss the last bytes. Verifying uses a picture up.
            picture.verify()
            if content.rfind(PNG_END) < 0:
                raise ValueError("truncated PNG file")
            picture = Image.open(io.BytesIO(content))
        picture.load()
    except PICTURE_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, UnidentifiedImageError):  # its text shows a Python object
            reason = "it is empty or no picture"
        raise ValueError(f"{path} cannot be read as a picture: {reason}") from None
    return picture


def read_picture(path: Path) -> Image.Image:
    """Read one picture as 8-bit RGB; transparency is dropped.

    Raises:
        ValueError: If the file cannot be read (see `load_picture`), or holds gray values of more
            than 8 bits, naming it.
    """
    picture = load_picture(path)
    if picture.mode.split(";")[0] in DEEP_MODES:
        raise ValueError(
            f"{path} holds gray values of more than 8 bits (Pillow's mode {picture.mode}); convert "
            "it to 8 bits a channel"
        )
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def read_pictures(paths: Iterable[Path]) -> Iterator[Image.Image]:
    """Read the pictures of one video as 8-bit RGB, one after the other.

    Raises:
        ValueError: If one cannot be read (see `read_picture`), or has another size than the first,
            naming it and both sizes.
    """
    size = None
    for path in paths:
        picture = read_picture(path)
        size = size or picture.size
        if picture.size != size:
            raise ValueError(
                f"{path} is {picture.size[0]}x{picture.size[1]}, the pictures before it are "
                f"{size[0]}x{size[1]}; all must have one size"
            )
        yield picture


def read_film(
    path: Path, start: int = 0, stop: int | None = None, every: int = 1
) -> Iterator[Image.Image]:
    """Read frames of a film as 8-bit RGB, turned as its rotation says, one after the other.

    Args:
        path: A film in any format that FFmpeg reads.
        start: Frames to skip.
        stop: Number of the frame, from 0, at which to end; None: the film's end.
        every: Take each n-th frame.

    Raises:
        ValueError: If the file is missing, damaged or holds no pictures, naming it.
    """
    with _decoded(path) as frames:
        for number, frame in itertools.islice(enumerate(frames), start, stop, every):
            if frame.is_corrupt:  # FFmpeg covers a fault up with what it has
                raise ValueError(f"frame {number} (from 0) is damaged")
            turns = round(getattr(frame, "rotation", 0) / 90)  # as phones hold their cameras
            yield Image.fromarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def count_frames(path: Path) -> int:
    """Return the number of frames of a film, by decoding it: what its head says may be wrong.

    Raises:
        ValueError: If the file is missing, damaged or holds no pictures, naming it.
    """
    with _decoded(path) as frames:
        return sum(1 for _ in frames)


@contextlib.contextmanager
def _decoded(path: Path) -> Iterator[Iterator[av.VideoFrame]]:
    """Open a film; errors within the block name the file."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("it holds no pictures")
            yield container.decode(video=0)
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a video: {error}") from None
