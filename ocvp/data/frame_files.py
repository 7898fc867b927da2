"""Frames that lie on disk as pictures, one file each.

Every file is decoded to its end, and what is damaged is an error that names it.
"""

import io
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

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
    """Read one picture in its own mode, turned as its EXIF says, and check that it is whole.

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
        ImageOps.exif_transpose(picture, in_place=True)  # a copy would not know its format
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
    return of_one_size(((path, read_picture(path)) for path in paths), "the pictures")


def of_one_size(
    pictures: Iterable[tuple[object, Image.Image]], others: str
) -> Iterator[Image.Image]:
    """Yield pictures, each given with its name, as long as they have one size.

    Args:
        pictures: Names and pictures.
        others: What the message calls those before.

    Raises:
        ValueError: If one has another size than the first, naming it and both sizes.
    """
    size = None
    for name, picture in pictures:
        size = size or picture.size
        if picture.size != size:
            raise ValueError(
                f"{name} is {picture.width}x{picture.height}, {others} before it are "
                f"{size[0]}x{size[1]}; all must have one size"
            )
        yield picture
