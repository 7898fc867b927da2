#!/usr/bin/env bash
# h5py: file["frames"][video, t] unpacks the whole video for each frame; a dataset kept at hand does
# not.
#
# Version:   h5py 3.16.0 with HDF5 2.0.0, numpy 2.3.5.
# Expected:  an open file caches the chunks it has unpacked (8 MiB of them in HDF5 2.0, 1 MiB
#            before), so the frames of a video that is one compressed chunk cost one unpacking,
#            whether the dataset is a variable or is looked up by its name each time.
# Behaviour: the cache is of the open dataset, not of the file. The name opens the dataset, the
#            result is dropped, and the dataset closes with its cache, unless some variable holds it
#            open: a video of 160 frames of 128x128 takes about a hundred times as long.
# Whom it hurts: readers in the style of many tutorials and Dataset classes, which keep the file and
#            write file["frames"][video, t] in a loop, or in __getitem__.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    h5py==3.16.0 numpy==2.3.5
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import time

import h5py
import numpy as np

print(f"h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}")
length = 160
shape = (3, length, 128, 128, 3)
with h5py.File("videos.h5", "w") as file:
    videos = file.create_dataset(
        "frames", shape, "uint8", chunks=(1, *shape[1:]), compression="gzip"
    )
    videos[...] = np.random.default_rng(0).integers(0, 8, shape)


def seconds(read):
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


with h5py.File("videos.h5") as file:
    looked_up = seconds(lambda: [file["frames"][2, t] for t in range(length)])
    videos = file["frames"]  # as long as it is open, the name finds it and its cache
    at_once = seconds(lambda: videos[0])
    kept = seconds(lambda: [videos[1, t] for t in range(length)])
    cache = file.id.get_access_plist().get_cache()[2]
print(f"a video of {np.prod(shape[1:]) / 2**20:.1f} MiB, cache of {cache / 2**20:.0f} MiB")
print(f"frame by frame: {kept / at_once:.1f} times the time of all at once by a variable,")
print(f"{looked_up / at_once:.1f} times by the name, each time")
assert kept < 5 * at_once and looked_up > 20 * at_once
PYTHON
