#!/usr/bin/env bash
# torchvision: boxes of masks end on their last pixel, so an object of one pixel has no area.
#
# Version:   torchvision 0.29.2, torch 2.15.0.
# Expected:  masks_to_boxes gives the edges of a mask, x1 < x2 as its documentation says, so that
#            box_area of a square of 2x2 pixels is 4, and each box has an IoU of 1 with itself.
# Behaviour: x2 and y2 are the numbers of the last column and row, not the edges behind them: the area
#            is (w - 1) (h - 1). What is one pixel wide has area 0, and with itself an IoU of NaN. The
#            box of an empty mask is that of a mask of the first pixel alone.
# Whom it hurts: who starts slots from boxes of small masks, or scores them: objects of few pixels at
#            the resolutions of this field, in a mean that becomes NaN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    torch==2.15.0 torchvision==0.29.2 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import torch
import torchvision
from torchvision.ops import box_area, box_iou, masks_to_boxes

masks = torch.zeros(4, 8, 8, dtype=torch.bool)
masks[0, 2:4, 4:6] = True  # 2x2 pixels
masks[1, 2:6, 3] = True  # 4x1
masks[2, 0, 0] = True  # one pixel; the last mask is empty
boxes = masks_to_boxes(masks)
areas, ious = box_area(boxes).tolist(), box_iou(boxes, boxes).diagonal().tolist()
names = ("2x2 pixels", "4x1 pixels", "first pixel", "empty")
print(f"torchvision {torchvision.__version__}")
for name, box, area, iou in zip(names, boxes.tolist(), areas, ious, strict=True):
    print(f"{name:12} box {box}, area {area:g}, IoU with itself {iou:g}")
assert areas == [1, 0, 0, 0]
assert ious[0] == 1 and all(iou != iou for iou in ious[1:])  # NaN
assert boxes[2].tolist() == boxes[3].tolist()
PYTHON
