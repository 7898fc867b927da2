#!/usr/bin/env bash
# torchmetrics: the adjusted Rand index of a clip of 83,000 pixels or more is wrong without a word.
#
# Version:   torchmetrics 1.9.0, scikit-learn 1.9.1, torch 2.13.0.
# Expected:  adjusted_rand_score gives what scikit-learn gives for the same labels, however many
#            pixels there are; at worst it is slow.
# Behaviour: numbers of pairs are kept as int64 and multiplied with each other. Pairs are about
#            as many as pixels squared, their product as pixels to the fourth power, which no longer
#            fits into 63 bits from some 83,000 pixels on. 10 frames of 64x64 are right; 24 frames
#            give an index of 2.5, though 1 is the largest; larger clips give anything, also
#            values that look like scores (0.82 in place of 0.64). Nothing is raised or warned of.
# Whom it hurts: clip-level ARI and FG-ARI of videos, which count all pixels of a clip at once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    torch==2.13.0 torchmetrics==1.9.0 scikit-learn==1.9.1 numpy==2.3.5 'setuptools<81'
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
import numpy as np
import sklearn
import torch
import torchmetrics
from sklearn.metrics import adjusted_rand_score
from torchmetrics.functional.clustering import adjusted_rand_score as of_torchmetrics

print(f"torchmetrics {torchmetrics.__version__}, scikit-learn {sklearn.__version__}")
generator = np.random.default_rng(0)
found = {}
for frames, side in ((10, 64), (24, 64), (24, 128)):
    pixels = frames * side * side
    true = generator.integers(0, 5, pixels)
    # a fifth of the pixels are given any label
    predicted = np.where(generator.random(pixels) < 0.2, generator.integers(0, 5, pixels), true)
    right = adjusted_rand_score(true, predicted)
    score = of_torchmetrics(torch.from_numpy(predicted), torch.from_numpy(true)).item()
    found[frames, side] = score, right
    print(f"{frames} frames of {side}x{side}: {score:.4f}, right is {right:.4f}")
assert abs(np.subtract(*found[10, 64])) < 1e-4
assert found[24, 64][0] > 1
assert abs(np.subtract(*found[24, 128])) > 0.1
PYTHON
