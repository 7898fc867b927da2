#!/usr/bin/env bash
# moviepy: some films lose their last frame, by their rate and length.
#
# Version:   moviepy 2.1.2, av 16.1.0, numpy 2.3.5.
# Expected:  iter_frames of a film of a constant rate yields each of its frames once, as OpenCV, decord
#            and PyAV do.
# Behaviour: it counts the frames as duration times rate, rounded down, and takes the duration from
#            what ffmpeg prints, with two digits after the point: 1.04 s x 24 = 24.96, so of 25 frames
#            at 24 a second 24 come out; at 25 a second all. Nothing is said.
# Whom it hurts: data sets of short clips: predicted and true videos of one length in memory differ by
#            a frame once they were files, or a clip that just fits the window no longer does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    moviepy==2.1.2 av==16.1.0 numpy==2.3.5
cd "$folder"
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
import contextlib
import importlib.metadata
import io

import av
import numpy as np
from moviepy import VideoFileClip


def write(path, count, rate):
    """Write a film of gray frames, each brighter than the one before."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "0"})
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for k in range(count):
            pixels = np.full((32, 32, 3), 20 + 4 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


lost = []
for count in (16, 20, 24, 25, 50):
    for rate in (8, 10, 12, 15, 24, 25, 30):
        write("film.mp4", count, rate)
        with av.open("film.mp4") as container:
            true = [int(frame.to_ndarray(format="rgb24")[0, 0, 0]) for frame in container.decode(video=0)]
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it is about to do
            clip = VideoFileClip("film.mp4")
            found = [int(frame[0, 0, 0]) for frame in clip.iter_frames()]
            clip.close()
        assert len(true) == count
        if found != true:
            assert found == true[:-1]  # the last one is missing, the others are right
            lost.append((count, rate, clip.duration))
version = importlib.metadata.version("moviepy")
for count, rate, duration in lost:
    print(f"moviepy {version}: {count} frames at {rate} a second "
          f"(it says {duration} s, they last {count / rate:.4f}): {count - 1} come out")
assert [case[:2] for case in lost] == [
    (16, 12), (16, 30), (20, 15), (20, 24), (25, 12), (25, 24), (25, 30), (50, 15), (50, 24),
]
PYTHON
