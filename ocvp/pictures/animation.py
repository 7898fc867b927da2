"""Animated rollouts: views of a video side by side, as GIF and as MP4.

The first num_context frames are given, the rest is predicted.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image, ImageDraw

from ocvp.pictures.strips import (
    CONTEXT_COLOUR,
    EMPTY,
    INK,
    PREDICTED_COLOUR,
    Row,
    load_font,
    text_size,
)
from ocvp.runtime.files import atomic_path

GIF_DELAYS = (2, 65535)
"""Least and most that a picture of a GIF is shown, in units of 10 ms. Browsers take 100 ms for what
is shorter; the field has two bytes."""
MP4_FPS = (0.01, 1000)
"""Least and most frames a second of an MP4."""
MP4_OPTIONS = {"crf": "12", "preset": "veryfast", "aq-mode": "0", "tune": "animation"}
"""Of x264: flat colours within 6 of 255, which adaptive quantisation would not keep. Slower presets
take twice as long for files of about the same size."""

# in pixels
_MARGIN = 12
_GAP = 8
_BORDER = 3
_BAR = 8


def animation(
    views: Sequence[Sequence[Row | None]], *, num_context: int, title: str = ""
) -> list[np.ndarray]:
    """Draw the pictures of an animation: views in rows, each with its label above.

    Args:
        views: Rows of views of one size, from the upper left; None: an empty place.
        num_context: Context frames.
        title: Line above the picture; empty: none.

    Returns:
        Pictures of one size, uint8, shape (height, width, 3), as many as the longest view has; each
        with the number of its frame and a mark, in colour and in words, of context or prediction.
    """
    # Labels stand above the views, on one line; a strip has them beside the rows.
    named = [
        [view and view._replace(label=view.label.replace("\n", " ")) for view in row]
        for row in views
    ]
    num_frames = max(view.first + len(view.pictures) for row in named for view in row if view)
    return [_draw(named, t, num_frames, num_context, title) for t in range(num_frames)]


def gif_rate(fps: float) -> float:
    """Return the frames a second nearest to `fps` at which a GIF can play.

    A GIF says in units of 10 ms how long it shows a picture.

    Raises:
        ValueError: If `fps` is not above 0, or infinite.
    """
    return 100 / _gif_delay(fps)


def gif_rate_note(fps: float) -> str:
    """Return a sentence for the log where GIFs play at another rate than `fps`; else nothing."""
    rate, wanted = (
        np.format_float_positional(number, precision=3, fractional=False, trim="-")
        for number in (gif_rate(fps), fps)
    )
    if rate == wanted:
        return ""
    return f"animations play at {rate} frames a second, the nearest that GIF has to {wanted}"


def _gif_delay(fps: float) -> int:
    """Return how long to show each picture, in units of 10 ms."""
    if not 0 < fps < math.inf:
        raise ValueError(f"fps is {fps}, allowed is above 0")
    shortest, longest = GIF_DELAYS
    delay = int(min(max(100 / fps, shortest), longest))
    return min((delay, min(delay + 1, longest)), key=lambda candidate: abs(100 / candidate - fps))


def save_gif(path: str | Path, pictures: Sequence[np.ndarray], fps: float) -> None:
    """Write pictures of one size as an endless GIF, atomically.

    All pictures share one palette of 256 colours, so that still parts do not flicker; without
    dithering, which would.

    Args:
        path: File to write.
        pictures: At least one, uint8, shape (height, width, 3).
        fps: Frames a second; it plays at `gif_rate(fps)`.

    Raises:
        ValueError: If there is no picture, or `fps` is not above 0.
        OSError: If the file cannot be written.
    """
    _check_any(pictures)
    duration = 10 * _gif_delay(fps)  # milliseconds
    images = _indexed(np.stack(pictures))
    with atomic_path(path) as temporary:
        images[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=duration,
            loop=0,  # without end
        )


def save_mp4(path: str | Path, pictures: Sequence[np.ndarray], fps: float) -> None:
    """Write pictures of one size as an MP4 that every browser plays (H.264, yuv420p), atomically.

    Colour has half the resolution of brightness in it. Odd sizes get a white row or column at the
    end, as such frames have even ones.

    Args:
        path: File to write.
        pictures: At least one, uint8, shape (height, width, 3).
        fps: Frames a second.

    Raises:
        ValueError: If there is no picture, or `fps` is out of `MP4_FPS`.
        OSError: If the file cannot be written.
    """
    _check_any(pictures)
    least, most = MP4_FPS
    if not least <= fps <= most:
        raise ValueError(f"fps is {fps}, allowed is {least:g} to {most:g}")
    height, width = pictures[0].shape[:2]
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    # The index first, so that a browser plays what it has not loaded to the end.
    options = {"movflags": "+faststart"}
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        stream = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(10_000), options=MP4_OPTIONS
        )
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = height + height % 2, width + width % 2
        codec = stream.codec_context
        codec.thread_count = 1  # on whose number the bytes depend
        # Said in the file: without, players guess by the size of the picture.
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for picture in pictures:
            padded = np.pad(picture, padding, constant_values=255)
            frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
            # The same as the file says: the conversion's own choice is ITU601.
            converted = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))  # what the encoder still holds


def _check_any(pictures: Sequence[np.ndarray]) -> None:
    if len(pictures) == 0:  # they may also be one array
        raise ValueError("an animation needs at least one picture")


def _indexed(pictures: np.ndarray) -> list[Image.Image]:
    """Convert pictures (T, height, width, 3) to one palette: exact up to 256 colours."""
    red, green, blue = np.moveaxis(pictures.astype(np.int32), -1, 0)
    packed = red << 16 | green << 8 | blue
    # by a table of all colours: sorting the pixels would take most of the time
    is_there = np.zeros(1 << 24, dtype=bool)
    is_there[packed] = True
    distinct = np.flatnonzero(is_there)
    chosen = _unpacked(distinct)
    if len(chosen) > 256:
        # The marks, the text and the paper keep their colours; the rest is for the frames.
        fixed = [(255, 255, 255), INK, EMPTY, CONTEXT_COLOUR, PREDICTED_COLOUR]
        # Every third row and column find the colours: a frame's pixel is as large, or larger.
        sample = Image.fromarray(np.concatenate(list(pictures[:, ::3, ::3])))
        reduced = sample.quantize(256 - len(fixed), method=Image.Quantize.MEDIANCUT).getpalette()
        chosen = np.concatenate([fixed, np.reshape(reduced or [], (-1, 3))])[:256]
    nearest = np.zeros(1 << 24, dtype=np.uint8)
    # part by part: the distances of many colours would fill the memory
    for part in np.array_split(distinct, len(distinct) // 2**16 + 1):
        nearest[part] = _nearest(_unpacked(part), chosen)
    images = [Image.fromarray(index) for index in nearest[packed]]  # (height, width) each
    for image in images:
        image.putpalette(chosen.astype(np.uint8).tobytes())
    return images


def _unpacked(packed: np.ndarray) -> np.ndarray:
    """Return red, green and blue of colours, float32, shape (n, 3)."""
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1)
    return colours.astype(np.float32)


def _nearest(colours: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the index of the chosen colour that is nearest to each colour, shape (n,)."""
    # Squared distances, less what those of one colour share: whole numbers, exact in float32.
    chosen = chosen.astype(np.float32)
    return (np.square(chosen).sum(axis=1) - 2 * colours @ chosen.T).argmin(axis=1)


def _draw(
    views: Sequence[Sequence[Row | None]], t: int, num_frames: int, num_context: int, title: str
) -> np.ndarray:
    # --- where the title, labels, views, the bar of time and the words go
    present = [view for row in views for view in row if view]
    height, width = present[0].pictures.shape[1:3]
    font = load_font(text_size(2 * height // 3))  # views stand close together
    line = sum(font.getmetrics())
    column = max(width + 2 * _BORDER, *(int(font.getlength(view.label)) + 1 for view in present))
    step = line + 4 + height + 2 * _BORDER + _GAP
    top = _MARGIN + (line + _GAP if title else 0)
    bar = top + len(views) * step
    # the longest words under the views, so that all pictures have one size
    words = f"Frame {num_frames} of {num_frames}  Predicted, +{num_frames - num_context}"
    texts = max(font.getlength(text) for text in (title, words))
    needed = max(map(len, views)) * (column + _GAP) - _GAP
    across = max(needed, int(texts) + 1)
    left = _MARGIN + (across - needed) // 2
    size = (2 * _MARGIN + across, bar + _BAR + 4 + line + _MARGIN)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN), title, INK, font, anchor="la")
    # --- the views, framed in the colour of context or prediction
    is_predicted = t >= num_context
    mark = PREDICTED_COLOUR if is_predicted else CONTEXT_COLOUR
    for m, n, view in ((m, n, view) for m, row in enumerate(views) for n, view in enumerate(row)):
        if view is None:
            continue
        x, y = left + n * (column + _GAP), top + m * step
        draw.text((x + column / 2, y), view.label, INK, font, anchor="ma")
        x += (column - width) // 2
        y += line + 4
        box = (x - _BORDER, y, x + width + _BORDER - 1, y + height + 2 * _BORDER - 1)
        draw.rectangle(box, EMPTY, outline=mark, width=_BORDER)
        if 0 <= t - view.first < len(view.pictures):
            image.paste(Image.fromarray(view.pictures[t - view.first]), (x, y + _BORDER))
    # --- the bar of time, and the same in words
    _draw_time(draw, t, num_frames, num_context, bar)
    text = f"Frame {t + 1} of {num_frames}"
    draw.text((_MARGIN, bar + _BAR + 4), text, INK, font, anchor="la")
    state = f"Predicted, +{t + 1 - num_context}" if is_predicted else "Context"
    draw.text((size[0] - _MARGIN, bar + _BAR + 4), state, mark, font, anchor="ra")
    return np.array(image)


def _draw_time(
    draw: ImageDraw.ImageDraw, t: int, num_frames: int, num_context: int, top: int
) -> None:
    """Draw one box per frame, filled up to the present one."""
    edges = np.linspace(_MARGIN, draw.im.size[0] - _MARGIN, num_frames + 1).astype(int)
    for i in range(num_frames):
        colour = PREDICTED_COLOUR if i >= num_context else CONTEXT_COLOUR
        # what is still to come is pale
        shown = colour if i <= t else tuple(255 - (255 - part) // 4 for part in colour)
        draw.rectangle((edges[i], top, edges[i + 1] - 2, top + _BAR - 1), shown)
