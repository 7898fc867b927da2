"""Measure whether collisions of the embedded data set can be predicted, and what a frame costs.

    python benchmarks/tabletop_bounce.py [--phases N] [--scenes N] [--rounds N]

Three things and their limits; the exit status is 1 where one is passed:

- restitution: an object at 1 m/s hits another one head-on, as in the scenes of the data set, at
  phases that divide a time step of the simulation evenly. What is left of the speed must not depend
  on the phase, which no picture shows: (largest - smallest) / mean. Between a cylinder and a box,
  whose line of contact MuJoCo samples by a changing number of points, it has no limit.
- energy: the most that a random scene has in a frame, over that of its first.
- time: ms a frame of 64x64 pixels on one core, simulated and drawn (see tabletop_speed.py).
"""

import argparse
import sys

import mujoco
import numpy as np
from numpy.typing import NDArray
from tabletop_speed import MAX_MS, measure

from ocvp.compute.randomness import generator
from ocvp.data.tabletop.physics import Body, build_model, set_state, simulate_bodies
from ocvp.data.tabletop.scene import camera_of, sample_bodies

# Shapes: T frames, K objects.

MAX_SPREAD = 0.03
MAX_GAIN = 0.001
FPS = 10.0
HITS = {
    ("sphere", "sphere"): MAX_SPREAD,
    ("sphere", "box"): MAX_SPREAD,
    ("sphere", "cylinder"): MAX_SPREAD,
    ("box", "box"): MAX_SPREAD,
    ("cylinder", "cylinder"): MAX_SPREAD,
    ("cylinder", "box"): np.inf,
}
"""What hits and what is hit, and the largest spread."""
CAMERA = camera_of((64, 64))
HALF = 0.3  # half the width and height of what is hit and what hits, in metres
BEFORE, AFTER = 2, 3  # frames before and after the contact
GRAVITY = 9.81  # metres per second squared


def restitutions(hitting: str, hit: str, num_phases: int) -> NDArray[np.float64]:
    """Return the share of the closing speed that is kept, for each phase of the contact."""
    kept = []
    for phase in np.arange(num_phases) / num_phases:
        # In the middle between two frames, and a part of a step later.
        step = build_model([_body(hit, 0.0, 0.0)], FPS).opt.timestep
        time = (BEFORE + AFTER) / 2 / FPS + phase * step
        bodies = [_body(hitting, -2 * HALF - time, 1.0), _body(hit, 0.0, 0.0)]
        motion = simulate_bodies(build_model(bodies, FPS), bodies, AFTER + 1, FPS, CAMERA)
        closing = -np.diff(motion.states[:, :, 7], axis=1)[:, 0]  # (T,), along x, in m/s
        kept.append(-closing[AFTER] / closing[BEFORE])
    return np.array(kept)


def energy_gain(scene: int, num_frames: int = 31) -> float:
    """Return the most energy that a random scene has in a frame, over that of the first, less 1."""
    rng = generator(0, "bounce", scene)
    bodies = sample_bodies(rng, (3, 5), CAMERA, (num_frames - 1) / FPS)
    model = build_model(bodies, FPS)
    energy = _energy(model, simulate_bodies(model, bodies, num_frames, FPS, CAMERA).states)
    return float(energy.max() / energy[0] - 1)


def _energy(model: mujoco.MjModel, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return energy in joules, shape (T,): of motion, rotation and height above the start."""
    data, masses = mujoco.MjData(model), model.body_mass[1:]  # body 0 is the world
    energy = GRAVITY * ((states[..., 2] - states[0, :, 2]) * masses).sum(axis=1)
    energy += 0.5 * ((states[..., 7:10] ** 2).sum(axis=-1) * masses).sum(axis=1)
    for frame, state in enumerate(states):
        set_state(model, data, state)
        rotations = data.xmat[1:].reshape(-1, 3, 3)  # (K, 3, 3), body to world
        spin = (rotations * state[:, 10:, None]).sum(axis=1)  # (K, 3), in the body's axes
        energy[frame] += 0.5 * (model.body_inertia[1:] * spin**2).sum()
    return energy


def _body(shape: str, x: float, speed: float) -> Body:
    return Body(shape, HALF, HALF, x=x, y=0.0, yaw=0.0, velocity=(speed, 0.0))


def main() -> int:
    """Print the table; see the module's head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phases", type=int, default=40, help="phases of each hit")
    parser.add_argument("--scenes", type=int, default=300, help="random scenes")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the time's measurement")
    args = parser.parse_args()
    rows = []
    for (hitting, hit), limit in HITS.items():
        kept = restitutions(hitting, hit, args.phases)
        what = f"restitution, {hitting} hits {hit}: {kept.min():.3f} to {kept.max():.3f}, spread"
        rows.append((what, 100 * np.ptp(kept) / kept.mean(), 100 * limit, "%"))
    gain = max(energy_gain(scene) for scene in range(args.scenes))
    rows.append((f"energy, most gained in {args.scenes} scenes", 100 * gain, 100 * MAX_GAIN, "%"))
    cost = max(measure(64, fields, args.rounds) for fields in ((), ("flow", "depth")))
    rows.append(("a frame of 64x64 pixels", cost, MAX_MS, "ms"))
    for what, figure, limit, unit in rows:
        bound = f"  at most {limit:g} {unit}" if np.isfinite(limit) else ""
        print(f"{what:66}{figure:6.2f} {unit:2}{bound}{'' if figure <= limit else ': TOO MUCH'}")
    return int(any(figure > limit for _, figure, limit, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
