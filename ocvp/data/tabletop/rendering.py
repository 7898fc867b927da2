"""Drawing a MuJoCo scene by ray casting: no OpenGL, the same bytes for any number of cores.

Legend: H W pixels, R rays, G geoms. Vectors are in world coordinates, in metres, z up.

A pixel's colour is the mean of 2x2 rays. A pixel's annotations (geom, distance, surface point)
are those of one more ray, through the pixel's centre, so they agree with each other exactly.
"""

import functools
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from ocvp.data.tabletop.raycast import Camera, Floats, cast, check_collides, dot, unit

# Offsets of a pixel's rays from its upper left corner, in pixels, as (row, column).
SUBPIXELS = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
CENTRE = (0.5, 0.5)
# Geom groups: what stands still, and what moves.
STATIC_GROUP, MOVING_GROUP = 0, 1
STATIC_ONLY = np.array([1, 0, 0, 0, 0, 0], np.uint8)
# Surfaces closer than this to what blocks their light are the blocker itself, in metres.
SHADOW_BIAS = 1e-3
# Bounding spheres are taken this much larger, so that rounding never culls a ray that hits.
CULLING_MARGIN = 1.01


@dataclass(frozen=True)
class Look:
    """Colours and light of a scene.

    Attributes:
        colors: Colour of each geom, shape (G, 3), in [0, 1].
        highlights: Strength of each geom's highlight, shape (G,), in [0, 1].
        light: Position of the lamp, shape (3,).
        planks: Colour of every other plank of geom 0, shape (3,); None: it has one colour.
        plank_width: Width of a plank in metres; planks run along y.
        ambient: Share of the light that comes from everywhere.
        shininess: Exponent of the highlight (Blinn-Phong).
    """

    colors: Floats
    highlights: Floats
    light: Floats
    planks: Floats | None = None
    plank_width: float = 1.0
    ambient: float = 0.45
    shininess: float = 40.0


@dataclass(frozen=True)
class View:
    """What the camera sees: a frame, and for each pixel's centre what lies there.

    Attributes:
        frame: uint8, shape (H, W, 3).
        geoms: Geom that the pixel's centre shows, shape (H, W).
        distance: From the camera to the surface along the ray, in metres, shape (H, W).
        points: The surface points, shape (H, W, 3).
    """

    frame: NDArray[np.uint8]
    geoms: NDArray[np.int32]
    distance: Floats
    points: Floats


@dataclass(frozen=True)
class _Hits:
    """What rays meet: geoms (R,), distance (R,), and surface normals (R, 3)."""

    geoms: NDArray[np.int32]
    distance: Floats
    normals: Floats


class Painter:
    """Draws the states of one scene with Lambert's shading, highlights and shadows.

    What stands still is followed and shaded once. For each state, only the rays that pass near a
    moving object, on their way from the camera or from the lamp, are followed again; the result
    is the same to the bit as without that shortcut.

    Args:
        model: The scene. Geoms of `STATIC_GROUP` stand still, fill the view, and shade nothing
            from the lamp; geoms of `MOVING_GROUP` move.
        camera: Where it is seen from.
        look: Colours and light.
        shortcut: Whether to take the shortcut.

    Raises:
        ValueError: If rays may pass through a geom of the scene.
    """

    def __init__(
        self, model: mujoco.MjModel, camera: Camera, look: Look, *, shortcut: bool = True
    ) -> None:
        check_collides(model)
        self._model = model
        self._camera = camera
        self._look = look
        self._shortcut = shortcut
        self._origin = np.array(camera.position)  # (3,)
        self._rays = _pixel_rays(camera)  # the centres', then those of each subpixel
        self._num_pixels = camera.height * camera.width
        self._moving = np.flatnonzero(model.geom_group == MOVING_GROUP)
        # --- what stands still, followed and shaded once for all states
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        self._static = _Hits(*cast(model, data, self._origin, self._rays, STATIC_ONLY))
        subpixels = np.arange(self._num_pixels, len(self._rays))  # (4HW,)
        self._static_colors = self._shade(self._static, subpixels)  # (4HW, 3)
        points = self._origin + self._static.distance[:, None] * self._rays  # (5HW, 3)
        self._light_rays = unit(points - look.light)[subpixels]  # (4HW, 3)

    def draw(self, data: mujoco.MjData) -> View:
        """Draw one state, whose kinematics are up to date."""
        # Shade anew what shows a moving object, and what one may keep the light from.
        hits, seen = self._follow(data)  # seen: (5HW,)
        in_shade = self._near_objects(data, self._look.light, self._light_rays)  # (4HW,)
        shaded = np.flatnonzero(seen[self._num_pixels :] | in_shade)
        colors = self._static_colors.copy()
        colors[shaded] = self._shade(hits, shaded + self._num_pixels, data)
        mean = colors.reshape(len(SUBPIXELS), self._num_pixels, 3).mean(axis=0)  # (HW, 3)
        frame = (255 * np.clip(mean, 0, 1) + 0.5).astype(np.uint8)  # (HW, 3), rounded
        # Annotations are of the centres' rays, which come first.
        size = (self._camera.height, self._camera.width)
        geoms, distance = hits.geoms[: self._num_pixels], hits.distance[: self._num_pixels]
        points = self._origin + distance[:, None] * self._rays[: self._num_pixels]  # (HW, 3)
        return View(
            frame=frame.reshape(*size, 3),
            geoms=geoms.reshape(size),
            distance=distance.reshape(size),
            points=points.reshape(*size, 3),
        )

    def _follow(self, data: mujoco.MjData) -> tuple[_Hits, NDArray[np.bool_]]:
        """Return what the camera's rays meet, and which of them pass near a moving object."""
        seen = self._near_objects(data, self._origin, self._rays)
        geoms, distance = self._static.geoms.copy(), self._static.distance.copy()
        normals = self._static.normals.copy()
        # These rays may pass by the object after all, and then meet what stands still.
        found = cast(self._model, data, self._origin, self._rays[seen])
        geoms[seen], distance[seen], normals[seen] = found
        return _Hits(geoms, distance, normals), seen

    def _near_objects(
        self, data: mujoco.MjData, origin: Floats, directions: Floats
    ) -> NDArray[np.bool_]:
        """Tell which rays from a point may meet a moving object, by their bounding spheres."""
        if not self._shortcut:
            return np.ones(len(directions), bool)
        centres = data.geom_xpos[self._moving] - origin  # (moving geoms, 3)
        radii = CULLING_MARGIN * self._model.geom_rbound[self._moving]  # (moving geoms,)
        # A ray meets a sphere of radius r at distance d if it comes within asin(r / d) of its
        # centre, that is if its way along the centre's direction is sqrt(d^2 - r^2) or more.
        # BLAS may round as it likes here: the margin covers it.
        tangents = np.sqrt(np.maximum(dot(centres, centres) - radii**2, 0))
        return (centres @ directions.T >= tangents[:, None]).any(axis=0)  # (R,)

    def _shade(
        self, hits: _Hits, rays: NDArray[np.int64], data: mujoco.MjData | None = None
    ) -> Floats:
        """Return the colours (len(rays), 3) of what rays meet; without data nothing is in shadow.

        Values may exceed 1.
        """
        look, directions = self._look, self._rays[rays]  # (R, 3)
        geoms, normals = hits.geoms[rays], hits.normals[rays]
        # Diffuse light, where nothing stands between the lamp and the surface.
        from_light = self._origin + hits.distance[rays, None] * directions - look.light  # (R, 3)
        light_distance = np.sqrt(dot(from_light, from_light))  # (R,)
        from_light /= light_distance[:, None]
        lambert = np.maximum(-dot(normals, from_light), 0)  # (R,)
        if data is not None:
            _, blocked, _ = cast(self._model, data, look.light, from_light)
            lambert *= blocked > light_distance - SHADOW_BIAS
        # More of the ambient light comes from above, so that shapes also show in the shade.
        ambient = look.ambient * (0.75 + 0.25 * normals[:, 2])  # (R,)
        brightness = ambient + (1 - look.ambient) * lambert
        # Highlights, of lit surfaces only.
        halfway = unit(directions + from_light)  # (R, 3)
        highlight = np.maximum(-dot(normals, halfway), 0) ** look.shininess  # (R,)
        highlight *= look.highlights[geoms] * (lambert > 0)
        colors = look.colors[geoms]  # (R, 3)
        if look.planks is not None:
            x = self._origin[0] + hits.distance[rays] * directions[:, 0]  # in metres
            colors[(geoms == 0) & (np.floor(x / look.plank_width) % 2 == 1)] = look.planks
        return colors * brightness[:, None] + highlight[:, None]


@functools.lru_cache(maxsize=4)
def _pixel_rays(camera: Camera) -> Floats:
    """Return the rays through the pixels' centres, then those of each subpixel: (5*H*W, 3)."""
    rows, columns = np.meshgrid(
        np.arange(float(camera.height)), np.arange(float(camera.width)), indexing="ij"
    )
    rays = [
        camera.directions(rows + row, columns + column).reshape(-1, 3)
        for row, column in (CENTRE, *SUBPIXELS)
    ]
    return np.concatenate(rays)
