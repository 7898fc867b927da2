#!/usr/bin/env bash
# scikit-image: one negative value in the first picture, however small, adds 6 dB to the PSNR.
#
# Version:   scikit-image 0.26.0, numpy 2.3.5.
# Expected:  a change of 1e-6 in one of 12,288 values changes the PSNR of floats by nothing; or, as in
#            structural_similarity of the same package, floats without data_range are refused.
# Behaviour: peak_signal_noise_ratio takes 1 for the range of floats if the first picture holds nothing
#            below 0, else 2: 40 dB become 46. The second picture does not matter.
# Whom it hurts: who passes a prediction first: decoders are not clamped, so nearly each frame has a
#            value below 0, and is 6 dB better than it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" \
    scikit-image==0.26.0 numpy==2.3.5
PYTHONPATH="$folder" python3 -W ignore - <<'PYTHON'
import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

frame = np.full((64, 64, 3), 0.5, np.float32)
frame[0, 0] = 0
predicted = frame + np.float32(0.01)
negative = frame.copy()
negative[0, 0, 0] = -1e-6
psnrs = {
    "truth first": peak_signal_noise_ratio(frame, predicted),
    "one value of -1e-6 in the first": peak_signal_noise_ratio(negative, predicted),
    "the same in the second": peak_signal_noise_ratio(predicted, negative),
    "the same with data_range": peak_signal_noise_ratio(negative, predicted, data_range=1),
}
for name, psnr in psnrs.items():
    print(f"scikit-image {skimage.__version__}: {name}: {psnr:.2f} dB")
assert [round(psnr, 2) for psnr in psnrs.values()] == [40.0, 46.02, 40.0, 40.0]
try:
    structural_similarity(frame, predicted, channel_axis=-1)
except ValueError as error:
    print("SSIM:", str(error).strip().partition(".")[0])
else:
    raise SystemExit("structural_similarity takes floats without data_range now")
PYTHON
