#!/usr/bin/env bash
# torchvision: nearest-neighbour resizing takes other pixels of a tensor than of a picture.
#
# Version:   torchvision 0.29.2 with torch 2.15.0.
# Expected:  resize(mask, size, NEAREST) picks the same pixels, whether the mask is a PIL picture or a
#            tensor: "nearest" leaves nothing to compute.
# Behaviour: at half the size, pixels 1, 3, 5, ... of a picture and 0, 2, 4, ... of a tensor are taken.
#            NEAREST_EXACT takes of a tensor what NEAREST takes of a picture.
# Whom it hurts: masks that were resized as pictures in one place and as tensors in another: they are a
#            pixel apart, an object of two pixels can vanish in one of them, and published scores of
#            MOVi's masks (tensors, the even pixels) are not those of a loader that resizes with PIL.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    torch==2.15.0 torchvision==0.29.2 numpy==2.3.5 pillow==12.0.0
PYTHONPATH="$folder" python3 - <<'PYTHON'
import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms.v2.functional import InterpolationMode, resize

mask = np.tile(np.arange(8, dtype=np.uint8), (8, 1))  # each pixel holds its column
tensor, picture = torch.from_numpy(mask)[None], Image.fromarray(mask)
columns = {
    "picture, NEAREST": np.asarray(resize(picture, [4, 4], InterpolationMode.NEAREST))[0],
    "tensor, NEAREST": resize(tensor, [4, 4], InterpolationMode.NEAREST)[0, 0],
    "tensor, NEAREST_EXACT": resize(tensor, [4, 4], InterpolationMode.NEAREST_EXACT)[0, 0],
}
for name, values in columns.items():
    print(f"torchvision {torchvision.__version__}: {name}: columns {values.tolist()}")
assert columns["picture, NEAREST"].tolist() == [1, 3, 5, 7]
assert columns["tensor, NEAREST"].tolist() == [0, 2, 4, 6]
assert columns["tensor, NEAREST_EXACT"].tolist() == [1, 3, 5, 7]
PYTHON
