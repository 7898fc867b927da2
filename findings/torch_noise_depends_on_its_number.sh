#!/usr/bin/env bash
# PyTorch: with one seed, the first normal numbers differ with how many are drawn.
#
# Version:   torch 2.13.0, CPU.
# Expected:  torch.manual_seed(0); torch.randn(n) begins with the same numbers for every n, as
#            torch.rand and NumPy's generators do, so that the first slots of a model keep their noise
#            when slots are added.
# Behaviour: 15 numbers and 16 have none in common: from 16 on they are made in blocks of 16, and where
#            the number is no multiple of 16 the last 16 are drawn anew. Multiples of 16 agree. So
#            models with 5 and 6 slots of 128 start alike, and with 5 and 6 slots of 10 in part only.
# Whom it hurts: comparisons of numbers of slots "with the same seed", and whoever draws noise for a
#            batch and wants the same for a part of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" torch==2.13.0 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import numpy as np
import torch


def shared(draw, few, many):
    """Return how many of the first `few` numbers are the same when `many` are drawn."""
    torch.manual_seed(0)
    first = draw(few)
    torch.manual_seed(0)
    return int((first == draw(many)[:few]).sum())


for few, many in ((15, 16), (16, 17), (16, 32), (5 * 10, 6 * 10), (5 * 128, 6 * 128)):
    normal, uniform = shared(torch.randn, few, many), shared(torch.rand, few, many)
    print(f"torch {torch.__version__}: {few} of {many}: randn {normal} the same, rand {uniform}")
    assert uniform == few
assert [shared(torch.randn, *pair) for pair in ((15, 16), (16, 32), (640, 768))] == [0, 16, 640]
assert shared(torch.randn, 16, 17) < 16 and shared(torch.randn, 50, 60) < 50
seeded = np.random.default_rng
assert (seeded(0).standard_normal(15) == seeded(0).standard_normal(16)[:15]).all()
PYTHON
