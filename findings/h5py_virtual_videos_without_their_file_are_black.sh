#!/usr/bin/env bash
# h5py: a virtual dataset whose source file is gone reads as zeros.
#
# Version:   h5py 3.16.0 (HDF5 as its wheel has it).
# Expected:  chunks of videos that are joined by a virtual dataset, one of which was deleted or not
#            copied along: reading its videos raises, as it does where the file is there and damaged.
# Behaviour: they read as zeros, black frames without a warning; so does every file of a folder that
#            was moved without its chunks, since their paths are stored as they were given.
# Whom it hurts: who trains on data sets joined this way: some videos are black, and the loss is good.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    h5py==3.16.0 numpy==2.4.6
cd "$folder"
PYTHONPATH="$folder/packages" python3 - <<'PYTHON'
import warnings
from pathlib import Path

import h5py
import numpy as np

warnings.simplefilter("error")
SHAPE = (4, 8, 8, 3)  # frames of a video
layout = h5py.VirtualLayout((2, *SHAPE), "uint8")
for video in range(2):
    with h5py.File(f"chunk{video}.h5", "w") as chunk:
        chunk["frames"] = np.full(SHAPE, 100 + video, "uint8")
    layout[video] = h5py.VirtualSource(f"chunk{video}.h5", "frames", SHAPE)
with h5py.File("videos.h5", "w") as joined:
    joined.create_virtual_dataset("frames", layout)


def read():
    """Return the values that each video has."""
    with h5py.File("videos.h5") as joined:
        return [np.unique(video).tolist() for video in joined["frames"]]


whole = read()
Path("chunk1.h5").unlink()
without = read()
print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}: {whole}, one chunk gone: {without}")
assert whole == [[100], [101]]
assert without == [[100], [0]]
Path("chunk1.h5").write_bytes(b"damaged")
try:
    read()
except OSError as error:
    print(f"damaged: OSError: {error}")
else:
    raise SystemExit("a damaged chunk was read too")
PYTHON
