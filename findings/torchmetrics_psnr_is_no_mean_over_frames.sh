#!/usr/bin/env bash
# torchmetrics: PSNR of several frames is that of their common error, not the mean of their PSNRs.
#
# Version:   torchmetrics 1.9.0, torch 2.13.0.
# Expected:  PeakSignalNoiseRatio over a batch is the mean over its pictures, as torchmetrics' own SSIM
#            beside it is: 20 dB and 60 dB are 40 dB.
# Behaviour: squared errors are added up over all pictures and all updates, and one PSNR is made of
#            them: 23.0 dB. dim=(1, 2, 3) gives the mean.
# Whom it hurts: comparisons of prediction over time: papers of this field average the PSNR of frames,
#            and a few bad frames pull the common one down by decibels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    torch==2.13.0 torchmetrics==1.9.0 numpy==2.3.5 'setuptools<81'
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
import math

import torch
import torchmetrics
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

frames = torch.full((2, 3, 32, 32), 0.5)
predicted = frames.clone()
predicted[0] += 0.1  # 20 dB
predicted[1] += 0.001  # 60 dB


def score(metric, *chosen):
    """Return the metric over frames."""
    for k in chosen:
        metric.update(predicted[k : k + 1], frames[k : k + 1])
    return metric.compute().item()


both = score(PeakSignalNoiseRatio(data_range=1.0), 0, 1)
each = [score(PeakSignalNoiseRatio(data_range=1.0), k) for k in (0, 1)]
mean = score(PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3)), 0, 1)
print(f"torchmetrics {torchmetrics.__version__}: {each} dB, both {both:.2f}, with dim {mean:.2f}")
assert [round(psnr, 1) for psnr in each] == [20.0, 60.0]
assert math.isclose(both, -10 * math.log10((0.1**2 + 0.001**2) / 2), rel_tol=1e-4)
assert math.isclose(mean, 40, rel_tol=1e-4)
ssims = [score(StructuralSimilarityIndexMeasure(data_range=1.0), *chosen) for chosen in ((0,), (1,), (0, 1))]
print(f"SSIM {ssims[0]:.4f} and {ssims[1]:.4f}, both {ssims[2]:.4f}")
assert math.isclose(ssims[2], (ssims[0] + ssims[1]) / 2, rel_tol=1e-4)
PYTHON
