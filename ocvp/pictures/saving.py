"""Pictures and figures as files: PNG, PDF or SVG, by the ending of their path."""

from pathlib import Path
from typing import Any, get_args

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ocvp.config.tree import PictureFormat
from ocvp.runtime.files import atomic_path

FORMATS = get_args(PictureFormat)
PIXELS_PER_INCH = 150
# Files do not say when they were made, so that the same figure is the same bytes.
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
_SETTINGS: dict[Any, Any] = {"svg.hashsalt": "ocvp", "pdf.fonttype": 42}


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture atomically; in PDF and SVG its pixels stay pixels, without loss.

    Args:
        path: File to write.
        picture: uint8, shape (height, width, 3).

    Raises:
        ValueError: If the path ends otherwise than one of `FORMATS`.
        OSError: If the file cannot be written.
    """
    if _format_of(path) == "png":
        _save_png(path, picture)
        return
    height, width = picture.shape[:2]
    size = (width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
    figure = Figure(figsize=size, dpi=PIXELS_PER_INCH)
    figure.figimage(picture)
    save_figure(path, figure)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure of matplotlib atomically.

    Args:
        path: File to write.
        figure: The figure.

    Raises:
        ValueError: If the path ends otherwise than one of `FORMATS`.
        OSError: If the file cannot be written.
    """
    kind = _format_of(path)
    if kind == "png":
        _save_png(path, figure_picture(figure))
        return
    with atomic_path(path) as temporary, matplotlib.rc_context(_SETTINGS):
        figure.savefig(temporary, format=kind, dpi=figure.dpi, metadata=_UNDATED[kind])


def figure_picture(figure: Figure) -> np.ndarray:
    """Return a figure as a picture, uint8, shape (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # the buffer is the canvas's own


def _save_png(path: Path, picture: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def _format_of(path: Path) -> str:
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"{path} ends with {path.suffix!r}; allowed are .{', .'.join(FORMATS)}")
    return kind
