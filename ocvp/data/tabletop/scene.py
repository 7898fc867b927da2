"""Drawing lots for a scene of the embedded data set: objects, where they head, colours, light.

Legend: K objects, G geoms. Metres, seconds, world coordinates as in `ocvp.data.tabletop.physics`.
"""

from dataclasses import replace

import numpy as np

from ocvp.data.tabletop.physics import SHAPES, Body
from ocvp.data.tabletop.raycast import Camera
from ocvp.data.tabletop.rendering import Look

# Well separated hues; no two objects of a video share one.
PALETTE = {
    "red": (0.86, 0.16, 0.16),
    "green": (0.18, 0.64, 0.26),
    "blue": (0.17, 0.37, 0.88),
    "yellow": (0.95, 0.80, 0.14),
    "purple": (0.56, 0.22, 0.74),
    "cyan": (0.14, 0.74, 0.80),
    "orange": (0.95, 0.48, 0.10),
    "pink": (0.94, 0.46, 0.68),
}
# Muted colours of the table's light and dark planks, and of the wall behind it. They are the same
# in all videos, as in the data sets of the field: what differs between videos is the objects.
TABLE = (0.72, 0.67, 0.58)
PLANKS = (0.50, 0.44, 0.37)
WALL = (0.36, 0.40, 0.45)
PLANK_WIDTH = 0.8  # metres
LIGHT = (-2.2, -2.0, 4.5)  # metres: to the left, on the camera's side, above
# Objects start at least this far from each other, in metres.
START_GAP = 0.12
# The part of the table on which they start: lowest and highest y, in metres.
START_Y = (-1.0, 1.5)
# In a frame that is wider than this for its height, objects would be too far apart to meet.
MAX_ASPECT = 1.6
# Layouts that are tried before a frame counts as too narrow.
MAX_LAYOUTS = 200
# When the first two objects meet, in seconds, where their speeds allow it.
MEETING_TIMES = (0.3, 0.8)
# Share of the later objects that are aimed at an earlier one; the others go their own way.
SHARE_AIMED = 0.5
# Slowest and fastest start in m/s.
SPEEDS = (0.5, 1.6)


def camera_of(resolution: tuple[int, int]) -> Camera:
    """Return the camera of all videos of a resolution (H, W)."""
    height, width = resolution
    return Camera(
        position=(0.0, -3.75, 3.3),
        target=(0.0, 0.12, 0.1),
        field_of_view=30.0,  # degrees
        height=height,
        width=width,
    )


def sample_bodies(
    rng: np.random.Generator, num_objects: tuple[int, int], camera: Camera, duration: float
) -> list[Body]:
    """Draw objects that start apart from each other, in view, and aimed at each other.

    Args:
        rng: What to draw from.
        num_objects: Fewest and most objects.
        camera: Objects start wholly in its view.
        duration: Of the video in seconds; objects are to meet in its first 60 %.

    Raises:
        ValueError: If the frame is too narrow for so many objects.
    """
    count = int(rng.integers(num_objects[0], num_objects[1], endpoint=True))
    # A layout that leaves no room for its last object is dropped as a whole.
    for _ in range(MAX_LAYOUTS):
        bodies = _place(rng, count, camera)
        if len(bodies) == count:
            return _aim(rng, bodies, duration)
    raise ValueError(
        f"num_objects is {list(num_objects)} and resolution {[camera.height, camera.width]}: "
        f"{count} objects do not fit side by side into the frame; it takes fewer objects, or a "
        "frame that is wider for its height"
    )


def sample_look(rng: np.random.Generator, num_objects: int) -> Look:
    """Draw the colours of `num_objects` objects; table, wall and light are always the same."""
    palette = np.array(list(PALETTE.values()))
    objects = palette[rng.permutation(len(palette))[:num_objects]]  # (K, 3)
    objects = np.clip(objects + rng.uniform(-0.03, 0.03, objects.shape), 0, 1)
    colors = np.concatenate([[TABLE, WALL], objects])  # (G, 3)
    highlights = np.concatenate([[0.0, 0.0], rng.choice([0.15, 0.35, 0.6], num_objects)])  # (G,)
    return Look(
        colors=colors,
        highlights=highlights,
        light=np.array(LIGHT),
        planks=np.array(PLANKS),
        plank_width=PLANK_WIDTH,
    )


def _place(rng: np.random.Generator, count: int, camera: Camera) -> list[Body]:
    """Place up to `count` objects one after the other, fewer where the last finds no room."""
    bodies: list[Body] = []
    for _ in range(100):  # draws, of which not all find room
        body = _sample_body(rng, camera)
        apart = all(
            np.hypot(body.x - other.x, body.y - other.y) > body.reach + other.reach + START_GAP
            for other in bodies
        )
        if apart and _in_view(body, camera):
            bodies.append(body)
        if len(bodies) == count:
            break
    return bodies


def _sample_body(rng: np.random.Generator, camera: Camera) -> Body:
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    radius = float(rng.uniform(0.30, 0.43) if shape == "sphere" else rng.uniform(0.24, 0.36))
    # Neither flat nor tall: what is hit slides instead of falling over.
    half_height = radius if shape == "sphere" else radius * float(rng.uniform(0.7, 1.1))
    aspect = min(camera.width / camera.height, MAX_ASPECT)
    return Body(
        shape=shape,
        radius=radius,
        half_height=half_height,
        x=float(rng.uniform(-1.6, 1.6)) * aspect,
        y=float(rng.uniform(*START_Y)),
        yaw=float(rng.uniform(0, 2 * np.pi)),
        velocity=(0.0, 0.0),
    )


def _in_view(body: Body, camera: Camera) -> bool:
    """Tell whether the frame shows all of the box that holds a body."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (0, 2)])
    corners = [body.x, body.y, 0] + signs * [body.reach, body.reach, body.half_height]  # (8, 3)
    pixels = camera.project(corners)  # (8, 2)
    return bool((pixels > 0).all() and (pixels < (camera.height, camera.width)).all())


def _aim(rng: np.random.Generator, bodies: list[Body], duration: float) -> list[Body]:
    """Give bodies velocities: the first two meet; of the later ones, some meet an earlier one."""
    aimed: list[Body] = []
    first_meeting = np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.1, 0.5)])
    first_time = min(float(rng.uniform(*MEETING_TIMES)), 0.6 * duration)
    for body in bodies:
        meeting, time = first_meeting, first_time
        if len(aimed) >= 2:
            time = min(float(rng.uniform(0.5, 1.6)), 0.6 * duration)
            if rng.random() < SHARE_AIMED:
                target = aimed[int(rng.integers(len(aimed)))]
                # where the other one will be by then, if nothing turns it aside
                meeting = np.array([target.x, target.y]) + time * np.array(target.velocity)
            else:
                meeting = np.array([rng.uniform(-1.6, 1.6), rng.uniform(*START_Y)])
        # aimed a little beside it, by some 5 cm
        velocity = (meeting + rng.normal(0, 0.05, 2) - [body.x, body.y]) / time
        speed = float(np.sqrt((velocity**2).sum()))
        velocity *= np.clip(speed, *SPEEDS) / max(speed, 1e-6)
        aimed.append(replace(body, velocity=(float(velocity[0]), float(velocity[1]))))
    return aimed
