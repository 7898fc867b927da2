#!/usr/bin/env bash
# imageio: its FFMPEG plugin returns 50 frames of a film that has 20.
#
# Version:   imageio 2.38.1, imageio-ffmpeg 0.8.1, PyAV 18.1.0.
# Expected:  imread returns each frame of the film once, as its pyav plugin and PyAV itself do.
# Behaviour: the FFMPEG plugin reads what ffmpeg writes to a pipe, and ffmpeg writes a constant
#            rate there. Where frames do not lie at equal distances, as in films of phones, which
#            take fewer frames a second in the dark, each is repeated (or left out) until the rate
#            that ffmpeg guesses is reached: for 30 and then 20 a second that is more than either.
# Whom it hurts: who counts frames by one library and reads them by the other: masks and boxes,
#            which are numbered by frame, then belong to other frames, and repeated frames look like
#            objects that stop and jump.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.3.5
cd "$folder"
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
from fractions import Fraction

import av
import imageio
import imageio_ffmpeg
import imageio.v3 as iio
import numpy as np

MILLISECOND = Fraction(1, 1000)
times = np.cumsum([0] + [33] * 10 + [50] * 9)
with av.open("film.mp4", "w") as film:
    stream = film.add_stream("libx264", rate=30)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = MILLISECOND
    for number, milliseconds in enumerate(times):
        picture = np.full((64, 64, 3), 10 * number, dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = int(milliseconds), MILLISECOND
        film.mux(stream.encode(frame))
    film.mux(stream.encode())

with av.open("film.mp4") as film:
    stored = sum(1 for _ in film.decode(video=0))
read = {plugin: len(iio.imread("film.mp4", plugin=plugin)) for plugin in ("pyav", "FFMPEG")}
print(f"imageio {imageio.__version__}, imageio-ffmpeg {imageio_ffmpeg.__version__}")
print(f"PyAV {av.__version__}")
print(f"written {len(times)}, by PyAV {stored}, by imageio {read}")
assert stored == read["pyav"] == len(times) == 20
assert read["FFMPEG"] == 50
PYTHON
