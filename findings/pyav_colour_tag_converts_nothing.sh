#!/usr/bin/env bash
# PyAV: the colour space that an encoder is given is written into the film, and pictures are converted
# by another one.
#
# Version:   av 18.1.0, numpy 2.4.6.
# Expected:  RGB frames that are encoded with `codec_context.colorspace = ITU709` become YUV by BT.709:
#            whoever decodes the film as it says gets the colours back.
# Behaviour: `encode` converts RGB by BT.601, whatever the encoder was told; only the tag is BT.709. The
#            film decoded as its tag says has colours that are off by more than 8 of 255. Frames that are
#            converted by hand before (`reformat(dst_colorspace=ITU709)`) come back right.
# Whom it hurts: predicted videos beside true ones, masks painted in colours that stand for objects, and
#            any score of frames that went through such a film.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
cat > colours.py <<'PYTHON'
import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

TRUE = np.array([213, 94, 0])


def off_by(is_converted_by_hand: bool) -> int:
    with av.open("film.mp4", "w") as film:
        stream = film.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), TRUE, np.uint8), format="rgb24")
        if is_converted_by_hand:
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    with av.open("film.mp4") as film:
        (frame,) = film.decode(video=0)
        assert frame.colorspace == Colorspace.ITU709, frame.colorspace
        luma, blue, red = (
            np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[0, 0].astype(float)
            for plane in frame.planes
        )
    # BT.709 of limited range, by its definition (ITU-R BT.709-6, items 3.2 to 3.5).
    y, cb, cr = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    r, b = y + 1.5748 * cr, y + 1.8556 * cb
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    decoded = np.clip(np.rint(255 * np.array([r, g, b])), 0, 255)
    return int(np.abs(decoded - TRUE).max())


tagged, converted = off_by(False), off_by(True)
print(f"av {av.__version__}: tagged alone: off by {tagged} of 255; converted by hand too: by {converted}")
assert tagged > 8, "the encoder converts by its tag now"
assert converted <= 2
PYTHON
"$folder/venv/bin/python" colours.py
