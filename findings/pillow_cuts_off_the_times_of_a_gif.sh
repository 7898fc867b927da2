#!/usr/bin/env bash
# Pillow: the time that a picture of a GIF is shown is cut off to hundredths of a second, not rounded.
#
# Version:   pillow 13.0.0.
# Expected:  GIF holds times in units of 10 ms, so 67 ms (15 frames a second) become the nearest, 70.
# Behaviour: 60 ms are written: the animation plays at 16.7 frames a second, where 14.3 were nearer. 39 ms become
#            30, where 40 were nearer. Nothing is said.
# Whom it hurts: rollouts beside true videos of another format drift apart; motion looks faster.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0
cd "$folder"
cat > times.py <<'PYTHON'
import PIL
from PIL import Image

pictures = [Image.new("L", (8, 8), grey) for grey in (0, 100, 200)]
for asked, nearest in ((67, 70), (39, 40)):
    pictures[0].save("a.gif", save_all=True, append_images=pictures[1:], duration=asked, loop=0)
    with Image.open("a.gif") as gif:
        written = gif.info["duration"]
    print(f"pillow {PIL.__version__}: {asked} ms asked, {written} written, {nearest} are nearest")
    assert written == asked // 10 * 10 != nearest, "times are rounded now"
PYTHON
"$folder/venv/bin/python" times.py
