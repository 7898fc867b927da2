"""The camera's geometry and MuJoCo's rays, on scenes whose answers are known."""

import mujoco
import numpy as np
import pytest

from ocvp.data.tabletop.raycast import Camera, cast, unit

# Looks straight down the y axis; 90 degrees make the focal length half the height.
AHEAD = Camera(position=(0, 0, 0), target=(0, 1, 0), field_of_view=90, height=8, width=12)


def test_axes_are_right_down_and_ahead():
    np.testing.assert_allclose(AHEAD.axes, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-15)


def test_projection_of_known_points():
    points = np.array([[0, 5, 0], [5, 5, 0], [0, 5, -5], [-2.5, 5, 2.5]], float)
    expected = [[4, 6], [4, 10], [8, 6], [2, 4]]
    np.testing.assert_allclose(AHEAD.project(points), expected, atol=1e-12)


def test_projection_inverts_directions():
    camera = Camera(position=(1, -3, 2), target=(0.2, 0, 0), field_of_view=35, height=48, width=32)
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 1, (50, 2)) * [48, 32]
    rays = camera.directions(pixels[:, 0], pixels[:, 1])
    points = np.array(camera.position) + rng.uniform(1, 9, (50, 1)) * rays
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1)
    np.testing.assert_allclose(camera.project(points), pixels, atol=1e-10)


@pytest.fixture
def ball():
    """A unit ball at (0, 5, 0), and a floor at z = -2."""
    spec = mujoco.MjSpec()
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    spec.worldbody.add_geom(type=plane, size=[0, 0, 1], pos=[0, 0, -2])
    sphere = mujoco.mjtGeom.mjGEOM_SPHERE
    spec.worldbody.add_geom(type=sphere, size=[1, 0, 0], pos=[0, 5, 0], group=1)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return model, data


def test_rays_meet_ball_floor_or_nothing(ball):
    directions = unit(np.array([[0, 1, 0], [0, 0, -1], [0, 0, 1]], float))
    geoms, distance, normals = cast(*ball, np.zeros(3), directions)
    assert geoms.tolist() == [1, 0, -1]
    np.testing.assert_allclose(distance, [4, 2, -1])
    np.testing.assert_allclose(normals[:2], [[0, -1, 0], [0, 0, 1]], atol=1e-12)


def test_rays_pass_geoms_of_other_groups(ball):
    floor_only = np.array([1, 0, 0, 0, 0, 0], np.uint8)
    toward_ball = unit(np.array([[0.0, 5, -0.5]]))
    geoms, distance, _ = cast(*ball, np.zeros(3), toward_ball, floor_only)
    assert geoms.tolist() == [0]
    np.testing.assert_allclose(distance * toward_ball[:, 2], -2)
