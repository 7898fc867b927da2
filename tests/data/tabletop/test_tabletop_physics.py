"""Contacts and energy of the simulation."""

import numpy as np
import pytest

from ocvp.compute.randomness import generator
from ocvp.data.tabletop.physics import Body, build_model, simulate_bodies, steps_per_frame
from ocvp.data.tabletop.scene import camera_of, sample_bodies

CAMERA = camera_of((32, 32))


def ball(x, y, vx, vy=0.0):
    return Body(shape="sphere", radius=0.25, half_height=0.25, x=x, y=y, yaw=0.7, velocity=(vx, vy))


def simulate(*bodies, num_frames=16):
    return simulate_bodies(build_model(list(bodies), 10.0), list(bodies), num_frames, 10.0, CAMERA)


def test_a_head_on_contact_counts_in_its_frame():
    # The gap of 0.5 m closes at 1 m/s: contact at 0.5 s, in the step that leads to frame 5 or 6.
    motion = simulate(ball(-0.5, 0, 0.5), ball(0.5, 0, -0.5))
    assert motion.contacts.sum() == 1
    assert np.flatnonzero(motion.contacts)[0] in (5, 6)
    velocities = motion.states[:, :, 7]
    np.testing.assert_allclose(velocities[0], [0.5, -0.5])
    assert velocities[-1, 0] < 0 < velocities[-1, 1]


def test_contacts_belong_to_the_objects_that_touch():
    # The gap of 0.25 m closes at 1 m/s; at 0.7 to 0.8 m/s then the 0.1 m to the last one.
    bodies = ball(-0.75, 0, 1.0), ball(2, 1, 0), ball(0, 0, 0), ball(0.6, 0, 0)
    motion = simulate(*bodies, num_frames=6)
    np.testing.assert_array_equal(motion.object_contacts.sum(axis=0), [1, 0, 2, 1])
    np.testing.assert_array_equal(motion.object_contacts[3], [1, 0, 1, 0])
    np.testing.assert_array_equal(motion.object_contacts[4], [0, 0, 1, 1])


def test_objects_that_miss_have_no_contact():
    motion = simulate(ball(-0.5, -0.3, 0.5), ball(0.5, 0.3, -0.5))
    assert motion.contacts.sum() == 0
    np.testing.assert_allclose(motion.states[-1, :, 7], [0.5, -0.5], atol=0.02)


def test_a_contact_that_hardly_changes_a_velocity_does_not_count():
    # The left ball catches up at 0.04 m/s: 4 % of its speed at most can change hands.
    motion = simulate(ball(-0.4, 0, 0.84), ball(0.13, 0, 0.8))
    gap = motion.states[:, 1, 0] - motion.states[:, 0, 0]
    assert gap[0] > gap.min() < gap[-1]  # they do touch, and part again
    assert motion.contacts.sum() == 0


def test_a_contact_out_of_view_does_not_count():
    motion = simulate(ball(-0.5, -8, 0.5), ball(0.5, -8, -0.5))
    assert motion.states[-1, 0, 7] < 0
    assert motion.contacts.sum() == 0


def test_a_ball_rolls_without_slipping():
    motion = simulate(ball(0, 0, 0.3, 0.4))
    np.testing.assert_allclose(motion.states[0, 0, 10:], [-0.4 / 0.25, 0.3 / 0.25, 0])
    np.testing.assert_allclose(motion.states[-1, 0, 7:10], [0.3, 0.4, 0], atol=0.01)
    np.testing.assert_allclose(motion.states[-1, 0, :2], [0.45, 0.6], atol=0.01)


def test_momentum_of_a_collision_is_kept():
    bodies = [ball(-0.5, 0, 0.8), ball(0.3, 0.2, -0.3)]
    model = build_model(bodies, 10.0)
    motion = simulate_bodies(model, bodies, 12, 10.0, CAMERA)
    momentum = (model.body_mass[1:, None] * motion.states[..., 7:9]).sum(axis=1)
    assert motion.contacts.sum() == 1
    np.testing.assert_allclose(momentum[-1], momentum[0], atol=0.05 * momentum[0, 0])


def solid(shape, x, speed=0.0):
    return Body(shape, radius=0.3, half_height=0.3, x=x, y=0, yaw=0, velocity=(speed, 0))


@pytest.mark.parametrize("fps", [10.0, 24.0])
@pytest.mark.parametrize(
    ("hitting", "hit"),
    [("sphere", "sphere"), ("sphere", "box"), ("box", "box"), ("cylinder", "cylinder")],
)
def test_a_hit_gives_back_the_same_wherever_in_a_step_it_falls(hitting, hit, fps):
    kept = []
    for phase in range(5):
        # At 1 m/s the gap closes 0.2 s after the start, and up to a step later.
        gap = 0.2 + phase / 5 / fps / steps_per_frame(fps)
        bodies = [solid(hitting, -0.6 - gap, 1.0), solid(hit, 0)]
        last = round(0.3 * fps)
        states = simulate_bodies(build_model(bodies, fps), bodies, last + 1, fps, CAMERA).states
        kept.append(states[last, 1, 7] - states[last, 0, 7])
    assert np.ptp(kept) <= 0.03 * np.mean(kept)
    assert 0.5 < np.mean(kept) < 0.65


def test_what_rests_stays_at_rest():
    bodies = [solid(shape, x) for shape, x in (("sphere", -1), ("box", 0), ("cylinder", 1))]
    motion = simulate(*bodies, num_frames=21)
    assert np.ptp(motion.states[..., :2], axis=0).max() < 1e-6
    np.testing.assert_allclose(motion.states[..., 2], 0.3, atol=1e-3)  # they sink in that little
    np.testing.assert_allclose(motion.states[5:, :, 7:], 0, atol=1e-4)


# With MuJoCo's own collisions, scenes 42, 43, 119 and 149 gain energy.
@pytest.mark.parametrize("index", [*range(8), 42, 43, 119, 149])
def test_no_collision_creates_energy(index):
    bodies = sample_bodies(generator(0, "energy", index), (4, 5), CAMERA, 2.0)
    model = build_model(bodies, 10.0)
    energy = energy_of(bodies, simulate_bodies(model, bodies, 21, 10.0, CAMERA).states)
    assert energy.max() <= 1.001 * energy[0]
    assert energy[-1] < 0.9 * energy[0]


def energy_of(bodies, states):
    """Energy (T,) of motion, rotation and height, as of solids of 300 kg per cubic metre."""
    energy = np.zeros(len(states))
    for k, body in enumerate(bodies):
        r, h = body.radius, body.half_height
        # Mass, and moments of inertia over mass: across the body's own axis, and about it.
        mass, across, along = {
            "sphere": (4 / 3 * np.pi * r**3, 2 / 5 * r**2, 2 / 5 * r**2),
            "box": (8 * r**2 * h, (r**2 + h**2) / 3, 2 / 3 * r**2),
            "cylinder": (2 * np.pi * r**2 * h, r**2 / 4 + h**2 / 3, r**2 / 2),
        }[body.shape]
        w, x, y, z = states[:, k, 3:7].T
        axis = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)], -1)
        spin = states[:, k, 10:]
        about = (spin * axis).sum(-1)
        turning = across * ((spin**2).sum(-1) - about**2) + along * about**2
        moving = (states[:, k, 7:10] ** 2).sum(-1)
        energy += 300 * mass * (0.5 * (moving + turning) + 9.81 * (states[:, k, 2] - h))
    return energy


@pytest.mark.parametrize(("fps", "steps"), [(10.0, 40), (24.0, 17), (400.0, 1), (1000.0, 1)])
def test_steps_between_frames(fps, steps):
    assert steps_per_frame(fps) == steps
    model = build_model([ball(0, 0, 0)], fps)
    assert model.opt.timestep * steps == pytest.approx(1 / fps)
