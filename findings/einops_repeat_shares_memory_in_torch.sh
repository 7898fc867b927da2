#!/usr/bin/env bash
# einops: what repeat returns of a torch tensor may be one memory, of a NumPy array it is a copy.
#
# Version:   einops 0.8.2, torch 2.13.0, numpy 2.3.5.
# Expected:  repeat returns a tensor of its own, as torch.repeat, numpy.repeat and einops' repeat of a
#            NumPy array do.
# Behaviour: with a new axis alone ('n d -> b n d', initial slots for each video of a batch) it is an
#            expanded view of stride 0. An index assignment into one video changes all videos, and the
#            tensor that was repeated, without a word; `+=` raises. With '(b n) d' it is a copy.
# Whom it hurts: slot models that start all videos from the same learned slots and then set some of
#            them, for instance from boxes: every video gets the last one's, and the parameter too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    einops==0.8.2 torch==2.13.0 numpy==2.3.5 'setuptools<81'
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
import einops
import numpy as np
import torch
from einops import repeat

sums = {}
for kind, make in {"torch": torch.zeros, "numpy": np.zeros}.items():
    for pattern in ("n d -> b n d", "n d -> (b n) d"):
        start = make((3, 2))  # 3 slots
        slots = repeat(start, pattern, b=4)
        slots[0] = 1  # the first video, or its first slot
        sums[kind, pattern] = (int(slots.sum()), int(start.sum()))
        print(f"einops {einops.__version__}: {kind}, {pattern}: sum {sums[kind, pattern][0]}, "
              f"of what was repeated {sums[kind, pattern][1]}")
assert sums == {
    ("torch", "n d -> b n d"): (24, 6),  # all four videos, and the start
    ("torch", "n d -> (b n) d"): (2, 0),
    ("numpy", "n d -> b n d"): (6, 0),
    ("numpy", "n d -> (b n) d"): (2, 0),
}
try:
    repeat(torch.zeros(3, 2), "n d -> b n d", b=4).add_(1)
except RuntimeError as error:
    print("in place:", str(error).partition(".")[0])
else:
    raise SystemExit("adding in place works now")
PYTHON
