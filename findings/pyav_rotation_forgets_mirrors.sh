#!/usr/bin/env bash
# PyAV: a frame's rotation is the same for films that are to be shown turned and mirrored.
#
# Version:   av 18.1.0.
# Expected:  VideoFrame.rotation says how a frame is to be turned for display, so turning it by that
#            many degrees shows the film as a player does, or raises where turning does not suffice.
# Behaviour: a container can ask for eight orientations, and the rotation has four values. A film that
#            is to be mirrored from left to right says -180, as one that is to be turned upside down;
#            one that is to be mirrored from top to bottom says 0, as a plain one. The frame's
#            DISPLAYMATRIX side data tell them apart.
# Whom it hurts: films of front cameras and of edited recordings: they are stored upside down beside
#            masks that are not, and directions of motion are learned mirrored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    av==18.1.0 numpy==2.3.5
PYTHONPATH="$folder/packages" python3 - "$folder/film.mp4" <<'PYTHON'
import sys

import av
import numpy as np


def shown(degrees, hflip, vflip):
    """Write a film that asks for this orientation; return what its first frame says."""
    with av.open(sys.argv[1], "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(degrees, hflip, vflip)
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(sys.argv[1]) as container:
        frame = next(container.decode(video=0))
        sides = {side.type.name: bytes(side) for side in frame.side_data}
        matrix = np.frombuffer(sides.get("DISPLAYMATRIX", b""), "<i4")
        return frame.rotation, (matrix[[0, 1, 3, 4]] >> 16).tolist() if len(matrix) else None


found = {
    name: shown(*asked)
    for name, asked in {
        "plain": (0, False, False),
        "mirrored top to bottom": (0, False, True),
        "upside down": (180, False, False),
        "mirrored left to right": (0, True, False),
    }.items()
}
for name, (rotation, matrix) in found.items():
    print(f"av {av.__version__}, {name}: rotation {rotation}, display matrix {matrix}")
assert found["plain"][0] == found["mirrored top to bottom"][0] == 0
assert found["upside down"][0] == found["mirrored left to right"][0] == -180
assert len({str(matrix) for _, matrix in found.values()}) == 4
PYTHON
