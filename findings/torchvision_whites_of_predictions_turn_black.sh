#!/usr/bin/env bash
# torchvision: a predicted frame whose white is a little above 1 becomes black.
#
# Version:   torchvision 0.29.2, torch 2.15.0, CPU (x86-64).
# Expected:  to_pil_image, convert_image_dtype and v2.to_dtype(scale=True) cut values off at 0 and 1, as
#            torchvision's save_image and TensorBoard's add_image do: 1.01 is white.
# Behaviour: they do not: 1.01 becomes 1 or 2 of 255, and -0.01 becomes 254. The first one also cuts
#            fractions off, so that it is darker by half a level in the mean; the others round.
# Whom it hurts: decoders without a last sigmoid overshoot: pictures and films of predictions have
#            black specks in bright objects, and what is scored on them is worse than the prediction.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    torch==2.15.0 torchvision==0.29.2 numpy==2.3.5 pillow==12.0.0
PYTHONPATH="$folder" python3 - "$folder/saved.png" <<'PYTHON'
import sys

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional, v2

frame = torch.tensor([1.01, 1.0, 0.999, 0.0, -0.01]).expand(3, 1, 5)
torchvision.utils.save_image(frame, sys.argv[1])
pictures = {
    "to_pil_image": np.asarray(functional.to_pil_image(frame)),
    "convert_image_dtype": functional.convert_image_dtype(frame, torch.uint8).movedim(0, -1).numpy(),
    "v2.to_dtype": v2.functional.to_dtype(frame, torch.uint8, scale=True).movedim(0, -1).numpy(),
    "save_image": np.asarray(Image.open(sys.argv[1])),
}
print(f"torchvision {torchvision.__version__}: {[round(x, 3) for x in frame[0, 0].tolist()]} become")
found = {name: picture[0, :, 0].tolist() for name, picture in pictures.items()}
for name, values in found.items():
    print(f"{name:20} {values}")
assert found["to_pil_image"] == [1, 255, 254, 0, 254]
assert found["convert_image_dtype"] == found["v2.to_dtype"] == [2, 255, 255, 0, 254]
assert found["save_image"] == [255, 255, 255, 0, 0]
PYTHON
