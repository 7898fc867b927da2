"""A camera, and rays that MuJoCo's own ray caster follows.

Legend: H W pixels, R rays. Vectors are in world coordinates, in metres, z up.

Arithmetic is elementwise on purpose: matrix products would go through BLAS, whose rounding
depends on its number of threads.
"""

import functools
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without roll; pixel (row, column) is centred on (row + 0.5, column + 0.5).

    Attributes:
        position: Where the camera stands.
        target: The point that the frame's centre shows.
        field_of_view: Vertical angle of the frame in degrees.
        height: Rows of a frame.
        width: Columns of a frame.
    """

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    field_of_view: float
    height: int
    width: int

    @functools.cached_property
    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Unit vectors to the right, down and ahead, as the frame shows them."""
        ahead = unit(np.array(self.target) - np.array(self.position))
        right = unit(np.cross(ahead, (0.0, 0.0, 1.0)))  # level, so without roll
        return right, np.cross(ahead, right), ahead

    @property
    def focal_length(self) -> float:
        """Focal length in pixels (pixels are square)."""
        return 0.5 * self.height / float(np.tan(np.radians(self.field_of_view) / 2))

    def directions(self, rows: Floats, columns: Floats) -> Floats:
        """Return unit vectors from the camera through points of the frame, shape (..., 3)."""
        right, down, ahead = self.axes
        x = (columns - 0.5 * self.width) / self.focal_length
        y = (rows - 0.5 * self.height) / self.focal_length
        return unit(x[..., None] * right + y[..., None] * down + ahead)  # (..., 3)

    def project(self, points: Floats) -> Floats:
        """Return where the frame shows `points`.

        Args:
            points: Shape (..., 3), ahead of the camera.

        Returns:
            Shape (..., 2): row and column in pixels, outside the frame where out of view.
        """
        offset = np.asarray(points) - np.array(self.position)
        x, y, z = (dot(offset, axis) for axis in self.axes)  # right, down and ahead, in metres
        row = 0.5 * self.height + self.focal_length * y / z
        column = 0.5 * self.width + self.focal_length * x / z
        return np.stack([row, column], axis=-1)


def cast(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    origin: Floats,
    directions: Floats,
    groups: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.int32], Floats, Floats]:
    """Follow rays from one point to the first geom that each meets.

    Args:
        model: The scene.
        data: Its state, with the kinematics up to date.
        origin: Shape (3,).
        directions: Unit vectors, shape (R, 3).
        groups: Which of MuJoCo's six geom groups rays meet (1) or pass (0); None: all.

    Returns:
        The geoms (R,), -1 where a ray meets none; the distances (R,) in metres, also -1 there;
        and the surfaces' unit normals (R, 3).
    """
    num_rays = len(directions)
    geoms = np.empty(num_rays, np.int32)
    distance = np.empty(num_rays)
    normals = np.empty(3 * num_rays)  # flat, as MuJoCo fills it
    mujoco.mj_multiRay(
        m=model,
        d=data,
        pnt=origin,
        vec=directions.reshape(-1),
        geomgroup=groups,
        flg_static=True,  # table and wall too
        bodyexclude=-1,  # none
        geomid=geoms,
        dist=distance,
        normal=normals,
        nray=num_rays,
        cutoff=1e6,  # metres; nothing in view is so far away
    )
    return geoms, distance, normals.reshape(-1, 3)


def check_collides(model: mujoco.MjModel) -> None:
    """Check that rays meet every geom of a scene.

    Raises:
        ValueError: If a geom collides with nothing: MuJoCo 4.0.0 skips bodies by the bounds of what
            collides, so rays pass through a geom that does not beside one that does.
    """
    passed = np.flatnonzero((model.geom_contype == 0) & (model.geom_conaffinity == 0))
    if len(passed):
        raise ValueError(
            f"geoms {passed.tolist()} of the scene have contype 0 and conaffinity 0; rays may pass "
            "through them, so each geom that is drawn must have one that is not 0"
        )


def dot(a: Floats, b: Floats) -> Floats:
    """Return the scalar products of vectors, shapes (..., 3)."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def unit(vectors: Floats) -> Floats:
    """Return vectors of the same directions, shape (..., 3), with length 1."""
    return vectors / np.sqrt(dot(vectors, vectors))[..., None]
