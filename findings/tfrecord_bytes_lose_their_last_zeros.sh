#!/usr/bin/env bash
# tfrecord: a list of byte strings comes back without the zero bytes at their ends.
#
# Version:   tfrecord 1.14.6.
# Expected:  what was written into a bytes feature is read back as it was, as with TensorFlow.
# Behaviour: one byte string comes back whole; several come back as an array of NumPy's fixed-width
#            strings, which cuts zero bytes at the end of each, and gives no hint of it. Pictures that
#            end in a marker survive; raw arrays do not.
# Whom it hurts: records of videos as lists of raw frames, masks or depth maps: a frame that ends in
#            black pixels is too short, and a black one is empty.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    tfrecord==1.14.6 numpy==2.3.5 protobuf==6.33.1
PYTHONPATH="$folder/packages" python3 - "$folder/videos.tfrecord" <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from tfrecord.reader import tfrecord_loader
from tfrecord.writer import TFRecordWriter

video = np.zeros((3, 2, 2), np.uint8)  # three masks: two end in background, one is empty
video[0, 0, 0], video[1] = 7, 7
writer = TFRecordWriter(sys.argv[1])
writer.write({"video": ([mask.tobytes() for mask in video], "byte")})
writer.write({"video": ([video[0].tobytes()], "byte")})
writer.close()
several, one = [record["video"] for record in tfrecord_loader(sys.argv[1], None)]
print(f"tfrecord {version('tfrecord')}: written 4, 4 and 4 bytes, read", [len(m) for m in several])
print(f"tfrecord {version('tfrecord')}: written 4 bytes alone, read", len(bytes(one)))
assert [len(mask) for mask in several] == [1, 4, 0]
assert len(bytes(one)) == 4
PYTHON
