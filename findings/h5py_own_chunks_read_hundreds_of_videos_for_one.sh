#!/usr/bin/env bash
# h5py: compressed videos without `chunks` are cut so that reading one decompresses an eighth of them.
#
# Version:   h5py 3.16.0 (HDF5 2.0.0), numpy 2.3.5.
# Expected:  compression="gzip" without chunks chooses chunks of some whole frames or videos, so that a
#            video costs about what it holds.
# Behaviour: all dimensions are halved in turn, that of the videos and that of the colours too: chunks
#            of (44, 5, 16, 16, 1) for 350 videos of 20 frames of 64x64. One video touches 192 chunks,
#            with 44 times what it holds; of 2,920 videos, with 383 times.
# Whom it hurts: loaders that read clips at random: the more videos, the slower each of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    h5py==3.16.0 numpy==2.3.5
cd "$folder"
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
import math
import statistics
import time

import h5py
import numpy as np

VIDEO = (20, 64, 64, 3)


def seconds(name):
    """Return how long one video takes, the median of some."""
    times = []
    for video in (3, 60, 120, 200, 300):
        with h5py.File("videos.h5") as file:  # anew, so that no chunk is in HDF5's cache
            start = time.perf_counter()
            file[name][video]
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def excess(chunks):
    """Return how many times what it holds is decompressed for a video."""
    touched = math.prod(math.ceil(side / chunk) for side, chunk in zip(VIDEO, chunks[1:]))
    return touched * math.prod(chunks) / math.prod(VIDEO)


rng = np.random.default_rng(0)
with h5py.File("videos.h5", "w") as file:
    frames = rng.integers(8, size=(350, *VIDEO), dtype=np.uint8)
    own = file.create_dataset("own", data=frames, compression="gzip")
    file.create_dataset("whole", data=frames, compression="gzip", chunks=(1, *VIDEO))
    large = file.create_dataset("large", (2920, *VIDEO), "u1", compression="gzip")
    found = {350: own.chunks, 2920: large.chunks}
for count, chunks in found.items():
    print(f"h5py {h5py.__version__}: {count} videos: chunks {chunks}, "
          f"{excess(chunks):.0f} times what a video holds")
assert [round(excess(chunks)) for chunks in found.values()] == [44, 383]
slow, fast = seconds("own"), seconds("whole")
print(f"a video of 350: {1e3 * slow:.0f} ms; with a chunk for each video {1e3 * fast:.1f} ms")
assert slow > 8 * fast
PYTHON
