#!/usr/bin/env bash
# torchmetrics: SSIM averages over the border, where windows reach out of the picture.
#
# Version:   torchmetrics 1.9.0, scikit-image 0.26.0, torch 2.13.0.
# Expected:  with a Gaussian window of 11 pixels and sigma 1.5, torchmetrics and scikit-image (with
#            gaussian_weights and population covariance) give one number for one pair of pictures.
# Behaviour: scikit-image drops the 5 pixels at each edge whose windows reach beyond the picture, as
#            Wang's definition does; torchmetrics mirrors the picture there and counts them. At 32x32
#            pixels that is half of all pixels. With the border cropped the two agree.
# Whom it hurts: comparisons of SSIM between papers on small frames: one prediction, wrong in the
#            middle and right at the edges, scores 0.92 here and 0.84 there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    torch==2.13.0 torchmetrics==1.9.0 scikit-image==0.26.0 numpy==2.3.5 'setuptools<81'
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
import numpy as np
import skimage
import torch
import torchmetrics
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

generator = np.random.default_rng(0)
smooth = gaussian_filter(generator.random((32, 32)), 2)
frame = (smooth - smooth.min()) / (smooth.max() - smooth.min())
# A prediction that is wrong in the middle and right at the edges, where little moves.
error = np.zeros((32, 32))
error[8:24, 8:24] = 0.1 * generator.standard_normal((16, 16))
prediction = np.clip(frame + error, 0, 1)
theirs = structural_similarity(
    frame, prediction, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
)
tensors = [torch.from_numpy(picture)[None, None] for picture in (prediction, frame)]
score, full = structural_similarity_index_measure(*tensors, data_range=1.0, return_full_image=True)
cropped = full[..., 5:-5, 5:-5].mean().item()
print(f"scikit-image {skimage.__version__}: {theirs:.6f}")
print(f"torchmetrics {torchmetrics.__version__}: {score.item():.6f}, without its border {cropped:.6f}")
assert abs(cropped - theirs) < 1e-6
assert score.item() - theirs > 0.05
PYTHON
