#!/usr/bin/env bash
# MuJoCo: how high a ball bounces depends on where within a step it meets the floor.
#
# Version:   mujoco 4.0.0.
# Expected:  solref (time constant, damping ratio) sets the restitution of a contact, so that the
#            same ball keeps the same share of its speed at every bounce, at any usual time step.
# Behaviour: at 2.5 ms, with a time constant of 20 ms, balls dropped from heights that differ by less
#            than 2 % keep between 49 % and 65 % of their speed; at 0.1 ms, 57 % each.
# Whom it hurts: simulated videos in which a collision's outcome is to be predicted: a quarter of the
#            outcome is decided by when a step fell, which no picture shows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" mujoco==4.0.0 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import mujoco
import numpy as np

SCENE = """<mujoco><option timestep="{step}" integrator="implicitfast"/><worldbody>
  <geom type="plane" size="5 5 1" solref="0.02 0.2"/>
  <body pos="0 0 {height}"><freejoint/><geom type="sphere" size="0.1" solref="0.02 0.2"/></body>
</worldbody></mujoco>"""


def restitution(height, step):
    """Return the speed after the first bounce as a share of that before."""
    model = mujoco.MjModel.from_xml_string(SCENE.format(height=height, step=step))
    data = mujoco.MjData(model)
    speeds = []
    while data.time < 1:
        mujoco.mj_step(model, data)
        speeds.append(data.qvel[2])
    down = int(np.argmin(speeds))
    return max(speeds[down : down + int(0.2 / step)]) / -speeds[down]


spread = {}
for step in (0.0025, 0.0001):
    shares = [restitution(height, step) for height in np.linspace(0.6, 0.61, 21)]
    spread[step] = max(shares) - min(shares)
    print(
        f"mujoco {mujoco.__version__}, steps of {1000 * step:g} ms: speed kept by a bounce "
        f"{min(shares):.3f} to {max(shares):.3f}"
    )
assert spread[0.0025] > 0.1 > 10 * spread[0.0001], spread
PYTHON
