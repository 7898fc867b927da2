"""Rigid bodies on a table: building the MuJoCo model and simulating it.

Legend: T frames, K objects. Metres, seconds, world coordinates: the table is the plane z = 0, x
points to the right, y away from the camera, and a wall stands behind the table at y = WALL_Y.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from ocvp.data.tabletop.raycast import Camera, Floats
from ocvp.data.tabletop.rendering import MOVING_GROUP

SHAPES = ("sphere", "box", "cylinder")
GEOM_TYPES = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
}
TABLE_GEOM, WALL_GEOM, FIRST_OBJECT_GEOM = 0, 1, 2
WALL_Y = 2.1  # metres
# Longest step of the simulation, in seconds; contacts last for a few of them.
MAX_TIMESTEP = 0.0025
# A low friction keeps objects moving through most of a clip, as on an air table.
TABLE_FRICTION = 0.01
OBJECT_FRICTION = 0.25
# Time constant (s) and damping ratio of contacts: objects bounce off each other, not off the
# table, which would lift them.
BOUNCY = (0.02, 0.32)
DEAD = (0.02, 1.0)
# How bouncy contacts set in: their impedance grows smoothly from the first value to the second over
# the third (m). From MuJoCo's usual 0.9 on, damping sets in at once, and what a hit gives back of
# its speed differs by 30 % with where within a step it falls (`benchmarks/tabletop_bounce.py`).
SMOOTH = (0.01, 0.95, 0.02, 0.5, 2)
DENSITY = 300.0  # kg per cubic metre
# A contact counts where it changes a velocity by this share of the faster object's velocity ...
MIN_VELOCITY_CHANGE = 0.1
# ... within this time (s), in which friction on the table changes it by less than 0.01 m/s ...
CONTACT_TIME = 0.05
# ... and where something moves: in m/s.
MIN_SPEED = 0.05


@dataclass(frozen=True)
class Body:
    """One object as it starts: upright on the table.

    Attributes:
        shape: One of `SHAPES`.
        radius: Of the sphere or the upright cylinder, half the side of the box's base; metres.
        half_height: In metres; for a sphere its radius.
        x: Position on the table in metres.
        y: Position on the table in metres.
        yaw: Rotation about the vertical in radians.
        velocity: Along x and y in m/s; a sphere starts rolling, the others sliding.
    """

    shape: str
    radius: float
    half_height: float
    x: float
    y: float
    yaw: float
    velocity: tuple[float, float]

    @property
    def reach(self) -> float:
        """Radius of the upright cylinder that holds the object, in metres."""
        return self.radius * (2**0.5 if self.shape == "box" else 1.0)


@dataclass(frozen=True)
class Motion:
    """What a simulation gives at the time of each frame.

    Attributes:
        states: Shape (T, K, 13): position (3), quaternion w x y z (4), linear velocity (3) and
            angular velocity (3) in rad/s, all in world coordinates.
        contacts: Shape (T,): contacts of two objects in view that changed a velocity by 10 %, and
            that began after the frame before and not after this one.
        object_contacts: Shape (T, K): the same by object; each contact counts for both.
    """

    states: Floats
    contacts: NDArray[np.int64]
    object_contacts: NDArray[np.int64]


def build_model(bodies: list[Body], fps: float) -> mujoco.MjModel:
    """Return the scene: geom 0 is the table, 1 the wall, 2 + k object k."""
    # --- how it is computed
    spec = mujoco.MjSpec()
    spec.option.timestep = 1 / fps / steps_per_frame(fps)  # a whole number of steps a frame
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    # Where a cylinder touches along a line, a single point would tilt it at random. Several are
    # found by libccd, to the last digits; with those of MuJoCo's own collisions (4.0.0), the
    # default, one scene in ten gains energy, up to nine times what it had.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_NATIVECCD
    spec.option.ccd_tolerance, spec.option.ccd_iterations = 1e-10, 200
    # Without it, contacts of several points give back less than those of one.
    spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_DIAGEXACT
    # --- what stands still
    world = spec.worldbody
    # The higher priority makes a contact take its friction and bounce from the table or wall.
    table = {"type": mujoco.mjtGeom.mjGEOM_PLANE, "size": [0, 0, 1], "priority": 1}
    world.add_geom(friction=[TABLE_FRICTION, 0, 0], solref=DEAD, **table)
    bouncy = {"solref": BOUNCY, "solimp": SMOOTH}
    wall = {"pos": [0, WALL_Y, 0], "zaxis": [0, -1, 0], **bouncy}
    world.add_geom(friction=[TABLE_FRICTION, 0, 0], **(table | wall))
    # --- the objects, each standing on the table
    for body in bodies:
        node = world.add_body(
            pos=[body.x, body.y, body.half_height],
            quat=[np.cos(body.yaw / 2), 0, 0, np.sin(body.yaw / 2)],  # w x y z, about the vertical
        )
        node.add_freejoint()
        node.add_geom(
            type=GEOM_TYPES[body.shape],
            size=_geom_size(body),
            friction=[OBJECT_FRICTION, 0, 0],
            density=DENSITY,
            group=MOVING_GROUP,
            **bouncy,
        )
    return spec.compile()


def steps_per_frame(fps: float) -> int:
    """Return how many steps of at most `MAX_TIMESTEP` seconds lie between two frames."""
    return int(np.ceil(1 / fps / MAX_TIMESTEP - 1e-9))  # 1e-9: rounding makes no step more


def simulate_bodies(
    model: mujoco.MjModel, bodies: list[Body], num_frames: int, fps: float, camera: Camera
) -> Motion:
    """Let the bodies go, and record them at the time of each frame.

    Args:
        model: From `build_model` for the same bodies and rate.
        bodies: As they start, at frame 0.
        num_frames: T.
        fps: Frames a second.
        camera: Contacts count where it sees them.
    """
    data = mujoco.MjData(model)
    data.qvel[:] = np.concatenate([_start_velocity(body) for body in bodies])  # (6K,)
    mujoco.mj_forward(model, data)
    contacts = _ContactCounter(len(bodies), camera)
    states = np.empty((num_frames, len(bodies), 13))
    states[0] = _read_states(model, data)
    for frame in range(1, num_frames):
        for _ in range(steps_per_frame(fps)):
            before = data.qvel.copy()  # mj_step changes it in place
            mujoco.mj_step(model, data)
            contacts.update(data, before, frame)
        states[frame] = _read_states(model, data)
    contacts.close_all()
    object_contacts = np.zeros((num_frames, len(bodies)), np.int64)
    for frame, pair in contacts.counted:
        object_contacts[frame, list(pair)] += 1  # of both objects
    return Motion(states, object_contacts.sum(axis=1) // 2, object_contacts)


def set_state(model: mujoco.MjModel, data: mujoco.MjData, states: Floats) -> None:
    """Put the objects where `states` (K, 13) of one frame says, ready to be drawn."""
    data.qpos[:] = states[:, :7].reshape(-1)  # (7K,)
    mujoco.mj_kinematics(model, data)


@dataclass
class _Contact:
    """A contact under way: when it began, and the two velocities before it."""

    frame: int
    start: float
    before: Floats
    after: Floats
    in_view: bool


class _ContactCounter:
    """Finds the contacts that change a velocity, from MuJoCo's contacts of each step."""

    def __init__(self, num_objects: int, camera: Camera) -> None:
        self.counted: list[tuple[int, tuple[int, int]]] = []  # frame and pair of each
        self._camera = camera
        self._num_objects = num_objects
        self._open: dict[tuple[int, int], _Contact] = {}

    def update(self, data: mujoco.MjData, before: Floats, frame: int) -> None:
        """Take in one step, given the velocities before it and the frame that it leads to."""
        touching = self._touching(data) if data.ncon else {}
        velocities = data.qvel.reshape(-1, 6)[:, :3]  # (K, 3), linear
        for pair, position in touching.items():
            if pair not in self._open:
                old = before.reshape(-1, 6)[list(pair), :3]  # (2, 3), of both objects
                row, column = self._camera.project(position)
                in_view = 0 <= row < self._camera.height and 0 <= column < self._camera.width
                self._open[pair] = _Contact(frame, data.time, old, old, in_view)
            contact = self._open[pair]
            if data.time - contact.start < CONTACT_TIME:
                contact.after = velocities[list(pair)]  # (2, 3)
        for pair in [pair for pair in self._open if pair not in touching]:
            self._close(pair)

    def close_all(self) -> None:
        """End the contacts that the last frame interrupts."""
        for pair in list(self._open):
            self._close(pair)

    def _close(self, pair: tuple[int, int]) -> None:
        contact = self._open.pop(pair)
        speed = np.linalg.norm(contact.before, axis=-1).max()  # m/s, of the faster one
        change = np.linalg.norm(contact.after - contact.before, axis=-1).max()
        if contact.in_view and change >= MIN_VELOCITY_CHANGE * max(speed, MIN_SPEED):
            self.counted.append((contact.frame, pair))

    def _touching(self, data: mujoco.MjData) -> dict[tuple[int, int], Floats]:
        """Return the pairs of objects in contact, each with a contact point."""
        geoms = data.contact.geom  # (contacts, 2); one with the table or the wall is no hit
        rows = np.flatnonzero(np.minimum(geoms[:, 0], geoms[:, 1]) >= FIRST_OBJECT_GEOM)
        if not len(rows):
            return {}
        pairs = np.sort(geoms[rows], axis=-1) - FIRST_OBJECT_GEOM  # (pairs, 2)
        positions = data.contact.pos[rows]  # (pairs, 3)
        return {(int(i), int(j)): point for (i, j), point in zip(pairs, positions, strict=True)}


def _geom_size(body: Body) -> list[float]:
    if body.shape == "box":
        return [body.radius, body.radius, body.half_height]
    return [body.radius, body.half_height, 0]  # of a sphere only the first counts


def _start_velocity(body: Body) -> Floats:
    """Return a free joint's velocity: linear in the world's axes, angular in the body's."""
    x, y = body.velocity
    if body.shape != "sphere":
        return np.array([x, y, 0, 0, 0, 0])
    # Rolling without slipping: angular velocity = up x velocity / radius, turned into body axes.
    turn_x, turn_y = -y / body.radius, x / body.radius
    cosine, sine = np.cos(body.yaw), np.sin(body.yaw)
    return np.array([x, y, 0, cosine * turn_x + sine * turn_y, cosine * turn_y - sine * turn_x, 0])


def _read_states(model: mujoco.MjModel, data: mujoco.MjData) -> Floats:
    """Return the objects' states (K, 13)."""
    # A step leaves the kinematics at its start; rotations are needed at its end.
    mujoco.mj_kinematics(model, data)
    velocities = data.qvel.reshape(-1, 6)  # (K, 6): linear in world axes, angular in the body's
    rotations = data.xmat[1:].reshape(-1, 3, 3)  # (K, 3, 3), body to world; body 0 is the world
    angular = (rotations * velocities[:, None, 3:]).sum(axis=-1)  # (K, 3), into world axes
    poses = data.qpos.reshape(-1, 7)  # (K, 7): position and quaternion
    return np.concatenate([poses, velocities[:, :3], angular], axis=-1)
