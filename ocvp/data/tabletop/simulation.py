"""The embedded data set: spheres, boxes and cylinders that run into each other on a table.

Legend: T frames, H W pixels, K objects. A video is a function of its settings, its split and its
index alone, so any process can make any video. Masks, depth and flow are exact: they belong to
the ray through each pixel's centre. A box is the edges of its object's mask.
"""

import mujoco
import numpy as np
from numpy.typing import NDArray

from ocvp.compute.randomness import generator
from ocvp.config.datasets import TabletopDataset
from ocvp.data.mask_boxes import mask_boxes
from ocvp.data.tabletop.physics import (
    FIRST_OBJECT_GEOM,
    SHAPES,
    Body,
    Motion,
    build_model,
    set_state,
    simulate_bodies,
)
from ocvp.data.tabletop.raycast import Camera
from ocvp.data.tabletop.rendering import Look, Painter, View
from ocvp.data.tabletop.scene import camera_of, sample_bodies, sample_look

# Simulations that are tried for a video until one has a contact that counts.
MAX_TRIES = 8


def simulate(dataset: TabletopDataset, split: str, video: int) -> dict[str, NDArray]:
    """Make one video with its annotations.

    Args:
        dataset: The data set; K below is the most objects of a video.
        split: Name of the split; splits share no draws.
        video: Index within the split.

    Returns:
        Arrays by name, flow and depth where `fields` of the data set names them:
        frames uint8 (T, H, W, 3);
        masks uint8 (T, H, W), 0 background, k + 1 where the pixel's centre shows object k;
        boxes float32 (T, K, 4), edges of the masks as (y_min, x_min, y_max, x_max) in [0, 1], -1
        where an object shows at no pixel's centre;
        flow float32 (T, H, W, 2), in pixels (d_row, d_column), how far the surface point at the
        pixel's centre moves to the next frame (where it may be hidden), 0 in the last frame;
        depth float32 (T, H, W), metres from the camera along the pixel's ray (as in MOVi);
        states float32 (T, K, 13), position, quaternion w x y z, linear and angular velocity in
        world coordinates (m, m/s, rad/s), 0 for an object that the video does not have;
        sizes float32 (K, 2), radius (a box's half side) and half height in metres, 0 likewise;
        shapes uint8 (K,), 0 no object, 1 sphere, 2 box, 3 cylinder;
        colors float32 (K, 3), RGB in [0, 1] before shading, 0 likewise;
        contacts uint8 (T,), contacts of two objects in view since the frame before that changed a
        velocity by 10 % (`ocvp.data.tabletop.physics`);
        object_contacts uint8 (T, K), the same by object: each contact counts for both.
    """
    camera = camera_of(dataset.resolution)
    purpose = (dataset.seed, "tabletop", split, video)
    bodies, model, motion = _simulate_until_contact(dataset, purpose, camera)
    look = sample_look(generator(*purpose, "look"), len(bodies))
    views, flow = _draw_all(model, motion, camera, look, "flow" in dataset.fields)
    geoms = np.stack([view.geoms for view in views])  # (T, H, W)
    # table and wall, geoms 0 and 1, both become the background
    masks = np.maximum(geoms - (FIRST_OBJECT_GEOM - 1), 0).astype(np.uint8)
    most = dataset.max_objects
    arrays: dict[str, NDArray] = {
        "frames": np.stack([view.frame for view in views]),
        "masks": masks,
        "boxes": mask_boxes(masks, most),
    }
    if "flow" in dataset.fields:
        arrays["flow"] = flow
    if "depth" in dataset.fields:
        arrays["depth"] = np.stack([view.distance for view in views]).astype(np.float32)
    sizes = np.array([[body.radius, body.half_height] for body in bodies])  # (objects, 2)
    shapes = np.array([SHAPES.index(body.shape) + 1 for body in bodies])
    object_contacts = _pad(motion.object_contacts, most, axis=1)  # (T, K)
    return arrays | {
        "states": _pad(motion.states, most, axis=1).astype(np.float32),
        "sizes": _pad(sizes, most).astype(np.float32),
        "shapes": _pad(shapes, most).astype(np.uint8),
        "colors": _pad(look.colors[FIRST_OBJECT_GEOM:], most).astype(np.float32),
        "contacts": np.minimum(motion.contacts, 255).astype(np.uint8),
        "object_contacts": np.minimum(object_contacts, 255).astype(np.uint8),
    }


def _simulate_until_contact(
    dataset: TabletopDataset, purpose: tuple[int, str, str, int], camera: Camera
) -> tuple[list[Body], mujoco.MjModel, Motion]:
    """Draw scenes until objects run into each other in view, `MAX_TRIES` times at most."""
    fps, num_frames = dataset.fps, dataset.num_frames
    for attempt in range(MAX_TRIES):
        rng = generator(*purpose, "bodies", attempt)
        bodies = sample_bodies(rng, dataset.num_objects, camera, (num_frames - 1) / fps)
        model = build_model(bodies, fps)
        motion = simulate_bodies(model, bodies, num_frames, fps, camera)
        if motion.contacts.any():
            break
    # the last try stands, with or without a contact
    return bodies, model, motion


def _draw_all(
    model: mujoco.MjModel, motion: Motion, camera: Camera, look: Look, with_flow: bool
) -> tuple[list[View], NDArray[np.float32]]:
    """Draw every frame; flow is (T, H, W, 2), and all 0 where it is not asked for."""
    num_frames = len(motion.states)
    data = mujoco.MjData(model)
    painter = Painter(model, camera, look)
    views: list[View] = []
    flow = np.zeros((num_frames, camera.height, camera.width, 2), np.float32)
    set_state(model, data, motion.states[0])
    for frame in range(num_frames):
        views.append(painter.draw(data))
        if frame + 1 == num_frames:
            break
        before = _poses(data)
        set_state(model, data, motion.states[frame + 1])
        if with_flow:
            flow[frame] = _flow(camera, views[-1], before, _poses(data))
    return views, flow


def _poses(data: mujoco.MjData) -> tuple[NDArray, NDArray]:
    """Return the objects' rotations (K, 3, 3) and positions (K, 3), which the next state spares."""
    return data.xmat[1:].reshape(-1, 3, 3).copy(), data.xpos[1:].copy()


def _flow(
    camera: Camera, view: View, now: tuple[NDArray, NDArray], later: tuple[NDArray, NDArray]
) -> NDArray[np.float64]:
    """Return how far a view's surface points move (H, W, 2), given poses in two frames."""
    (rotations, positions), (next_rotations, next_positions) = now, later
    flow = np.zeros((*view.geoms.shape, 2))
    rows, columns = np.nonzero(view.geoms >= FIRST_OBJECT_GEOM)  # the pixels of objects
    objects = view.geoms[rows, columns] - FIRST_OBJECT_GEOM
    offset = view.points[rows, columns] - positions[objects]  # (pixels of objects, 3)
    # Into the object's own axes by the transposed rotation, then out of them a frame later.
    local = (rotations[objects] * offset[:, :, None]).sum(axis=1)
    turned = (next_rotations[objects] * local[:, None, :]).sum(axis=2)
    landing = camera.project(turned + next_positions[objects])  # (pixels of objects, 2)
    flow[rows, columns] = landing - np.stack([rows + 0.5, columns + 0.5], axis=-1)
    return flow


def _pad(values: NDArray, length: int, axis: int = 0) -> NDArray:
    """Append zeros along an axis up to `length`."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, length - values.shape[axis])
    return np.pad(values, widths)
