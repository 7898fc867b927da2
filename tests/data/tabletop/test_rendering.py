"""Shading, shadows and supersampling, on scenes whose answers are known."""

import mujoco
import numpy as np
import pytest

from ocvp.data.tabletop.raycast import Camera
from ocvp.data.tabletop.rendering import MOVING_GROUP, Look, Painter

FLOOR, BALL = 0, 1
# Straight above would leave "right" undefined, so the camera stands a little aside.
CAMERA = Camera(position=(0, -0.01, 10), target=(0, 0, 0), field_of_view=40, height=32, width=32)


def scene(ball_position, **geom):
    spec = mujoco.MjSpec()
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
    body = spec.worldbody.add_body(pos=ball_position)
    body.add_freejoint()
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[1, 0, 0], group=MOVING_GROUP, **geom)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return model, data


def look(light, ambient=0.4, highlight=0.0):
    colors = np.array([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]])
    highlights = np.array([0.0, highlight])
    return Look(colors=colors, highlights=highlights, light=np.array(light, float), ambient=ambient)


def paint(ball_position, **kwargs):
    model, data = scene(ball_position)
    return Painter(model, CAMERA, look(**kwargs)).draw(data)


def pixel_of(x, y, z=0.0):
    row, column = CAMERA.project(np.array([x, y, z], float))
    return int(row), int(column)


def test_a_geom_that_collides_with_nothing_is_refused():
    lamp = look(light=(0, 0, 50))
    for one_sided in ({"contype": 0}, {"conaffinity": 0}):
        Painter(scene((0, 0, 1), **one_sided)[0], CAMERA, lamp)
    model, _ = scene((0, 0, 1), contype=0, conaffinity=0)
    with pytest.raises(ValueError, match=r"geoms \[1\] of the scene have contype 0 and conaff"):
        Painter(model, CAMERA, lamp)


def test_floor_has_lamberts_brightness():
    # The lamp is far away at 60 degrees from the vertical, whose cosine is 1/2.
    view = paint((50, 0, 1), light=(-1e5 * 3**0.5, 0, 1e5))
    expected = 255 * 0.5 * (0.4 + 0.6 * 0.5)
    np.testing.assert_allclose(view.frame, expected, atol=1)


def test_shadow_lies_where_the_lamp_cannot_see():
    # A ball of radius 1 at height 4, lit at 45 degrees, shades the floor around x = 4.
    shade, lit = 255 * 0.5 * 0.4, 255 * 0.5 * (0.4 + 0.6 * 0.5**0.5)
    wide = Camera(position=(3, -0.01, 14), target=(3, 0, 0), field_of_view=45, height=32, width=32)
    model, data = scene((0, 0, 4))
    view = Painter(model, wide, look(light=(-1e5, 0, 1e5 + 4))).draw(data)
    for x, expected in ((4.0, shade), (4.9, shade), (6.0, lit), (2.2, lit)):
        row, column = wide.project(np.array([x, 0.0, 0.0]))
        assert view.geoms[int(row), int(column)] == FLOOR
        np.testing.assert_allclose(view.frame[int(row), int(column)], expected, atol=1)


def test_side_away_from_the_lamp_gets_ambient_light_only():
    view = paint((0, 0, 1), light=(1e5, 0, 0.5))
    row, column = pixel_of(-0.7, 0, 1.7)
    assert view.geoms[row, column] == BALL
    assert view.frame[row, column, 0] < 255 * 0.4
    assert view.frame[row, column, 1] == 0


def test_highlight_is_white_and_on_the_lamps_side():
    dull = paint((0, 0, 1), light=(-10, 0, 20)).frame.astype(int)
    shiny = paint((0, 0, 1), light=(-10, 0, 20), highlight=0.5).frame.astype(int)
    added = shiny - dull
    assert (added >= 0).all()
    row, column = np.unravel_index(added[..., 1].argmax(), (32, 32))
    assert added[row, column, 1] == added[row, column, 2] > 60
    assert column < pixel_of(0, 0, 1)[1]


def test_edge_pixels_mix_ball_and_floor():
    # Under ambient light alone the two colours are constant but for the ball's lower half.
    view = paint((0, 0, 1), light=(0, 0, 1e5), ambient=1.0)
    blue = view.frame[..., 2]
    levels = {round(255 * 0.5 * share) for share in (0, 0.25, 0.5, 0.75, 1)}
    assert all(min(abs(int(value) - level) for level in levels) <= 1 for value in np.unique(blue))
    assert len(np.unique(blue)) >= 4


def test_annotations_belong_to_the_pixels_centre():
    view = paint((0.3, 0.2, 1), light=(0, 0, 50))
    ball = view.geoms == BALL
    assert ball.any()
    assert not ball.all()
    to_centre = np.linalg.norm(view.points[ball] - [0.3, 0.2, 1], axis=-1)
    np.testing.assert_allclose(to_centre, 1, atol=1e-9)
    np.testing.assert_allclose(view.points[~ball][:, 2], 0, atol=1e-9)
    away = np.linalg.norm(view.points - np.array(CAMERA.position), axis=-1)
    np.testing.assert_allclose(view.distance, away)
    rows, columns = np.indices((32, 32)) + 0.5
    np.testing.assert_allclose(CAMERA.project(view.points), np.stack([rows, columns], -1))


@pytest.mark.parametrize("position", [(0, 0, 1), (2, 3, 1), (-1, 0, 5), (0, 0, 9.5), (0, -40, 1)])
def test_shortcut_changes_no_bit(position):
    model, data = scene(position)
    lamp = look(light=(-3, -2, 8), highlight=0.5)
    short = Painter(model, CAMERA, lamp).draw(data)
    full = Painter(model, CAMERA, lamp, shortcut=False).draw(data)
    for name in ("frame", "geoms", "distance", "points"):
        np.testing.assert_array_equal(getattr(short, name), getattr(full, name))
