#!/usr/bin/env bash
# MuJoCo: after a step, the places that pictures are drawn from are those of before it.
#
# Version:   mujoco 4.0.0.
# Expected:  after mj_step, positions of geoms (geom_xpos), which cameras, rays and the renderer use,
#            belong to the same moment as the state (qpos, qvel, time).
# Behaviour: mj_step computes the places, then moves the state; the places of the new state come with
#            the next step. Frames, masks and depth taken after mj_step lag the recorded state by one
#            step, unless mj_kinematics or mj_forward runs between. With several steps to a frame the
#            lag is a part of the motion, and at the first frame there is none after mj_forward.
# Whom it hurts: data sets that store states beside pictures: a ball at 2 m/s and steps of 10 ms is
#            drawn 2 cm from where its state says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" mujoco==4.0.0 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import mujoco
import numpy as np

model = mujoco.MjModel.from_xml_string("""<mujoco><option timestep="0.01" gravity="0 0 0"/><worldbody>
  <body><freejoint/><geom type="sphere" size="0.1"/></body>
</worldbody></mujoco>""")
data = mujoco.MjData(model)
data.qvel[0] = 2.0
for _ in range(3):
    mujoco.mj_step(model, data)
state, drawn = data.qpos[0], data.geom_xpos[0, 0]
# What a ray sees, as a renderer does: the ball's surface, 0.1 before its centre.
hit, eye, along = np.zeros(1, np.int32), np.array([-5.0, 0, 0]), np.array([1.0, 0, 0])
seen = -5 + mujoco.mj_ray(model, data, eye, along, None, 1, -1, hit) + 0.1
mujoco.mj_kinematics(model, data)
after = data.geom_xpos[0, 0]
print(f"mujoco {mujoco.__version__}: state {state:.3f}, drawn at {drawn:.3f}, seen at {seen:.3f}; "
      f"after mj_kinematics {after:.3f}")
assert np.isclose(state, 0.06) and np.isclose(drawn, 0.04) and np.isclose(seen, 0.04)
assert np.isclose(after, 0.06)
PYTHON
