#!/usr/bin/env bash
# NumPy: a seed of several numbers is the same seed with zeros after it.
#
# Version:   numpy 2.4.6.
# Expected:  default_rng([seed, video]) and default_rng([seed, video, frame]) are independent for every
#            frame, since NumPy recommends lists of numbers as seeds of independent streams.
# Behaviour: for frame 0 they are one stream: up to four numbers, zeros at the end count for nothing, as
#            the seed is filled up with them. From the fifth number on they count again.
# Whom it hurts: who draws for each video, and for each frame or object of it, from seeds of other
#            lengths: what belongs to the first frame repeats what belongs to the video.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6
PYTHONPATH="$folder" python3 - <<'PYTHON'
import numpy as np


def draw(*seed):
    """Return the first numbers of a stream."""
    return np.random.default_rng(list(seed)).integers(1000, size=6).tolist()


for seed in ((7, 3), (7, 3, 0), (7, 3, 0, 0), (7, 3, 0, 0, 0), (7, 3, 1)):
    print(f"numpy {np.__version__}: {list(seed)!s:16} {draw(*seed)}")
assert draw(7, 3) == draw(7, 3, 0) == draw(7, 3, 0, 0)
assert draw(7, 3) != draw(7, 3, 0, 0, 0)
assert draw(7, 3) != draw(7, 3, 1)
PYTHON
