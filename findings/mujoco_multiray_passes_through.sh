#!/usr/bin/env bash
# MuJoCo: a ray of mj_multiRay passes through what the same ray of mj_ray hits.
#
# Version:   mujoco 4.0.0.
# Expected:  mj_multiRay casts many rays from one point, and each hits what mj_ray would hit; a geom
#            that is there to be seen only (contype = conaffinity = 0, as in most scenes that are
#            drawn in detail and collide as boxes) is hit by both, alone in its body or not.
# Behaviour: where the body also has a geom that collides, elsewhere, mj_multiRay passes through the
#            one that does not: it skips bodies by the bounds of what collides. mj_ray hits it, and
#            so does mj_multiRay where the colliding geom happens to lie in the same direction.
# Whom it hurts: depth, masks and pictures made by ray casting, which lose such geoms in silence.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" mujoco==4.0.0 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import mujoco
import numpy as np

BODY = """<mujoco><worldbody><body>
  <geom name="seen" type="sphere" size="1" contype="0" conaffinity="0"/>
  {solid}
</body></worldbody></mujoco>"""
SOLID = {
    "nothing else": "",
    "a colliding geom in the same direction": '<geom type="sphere" size="0.5"/>',
    "a colliding geom elsewhere": '<geom type="sphere" size="0.5" pos="10 0 0"/>',
}
start, direction = np.array([0.0, 0.0, 5.0]), np.array([0.0, 0.0, -1.0])
found = {}
for beside, solid in SOLID.items():
    model = mujoco.MjModel.from_xml_string(BODY.format(solid=solid))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    geom, distance = np.zeros(1, np.int32), np.zeros(1)
    one = mujoco.mj_ray(model, data, start, direction, None, 1, -1, geom)
    mujoco.mj_multiRay(
        model, data, start, direction, None, 1, -1, geom, distance, None, 1, 100.0
    )
    found[beside] = (float(one), float(distance[0]))
    print(f"mujoco {mujoco.__version__}, beside it {beside}: mj_ray {one:g}, mj_multiRay {distance[0]:g}")
assert list(found.values()) == [(4.0, 4.0), (4.0, 4.0), (4.0, -1.0)], found
PYTHON
