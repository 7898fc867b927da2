"""Decodes one record of MOVi-A to MOVi-E, as TensorFlow Datasets writes it, field by field.

T frames that are asked for, S side of a frame in pixels, K objects. Pictures are PNG files: RGB and
gray with 8 bits, gray with 16. Optical flow is no picture but a list of numbers, and most of a
record: it is decoded only where it is asked for. Normals and object coordinates lie in a record
too, and nobody asks for them.
"""

import io
import math
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocvp.data.movi.example_proto import Example

LEVELS = 65535  # the largest of the 16 bits that depth and flow are stored with
ABSENT = -1.0
DAMAGED = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for a picture that cannot be read."""
GRAY_OF_16_BITS = ("I;16", "I")  # modes of Pillow; the second up to Pillow 10


class MoviRecord:
    """One video.

    Any of its frames can be asked for, by their numbers from 0. Everything raises ValueError where
    its key is missing or damaged, or does not fit number and size of the frames: naming the key,
    and the frame where it is one.

    Args:
        data: The record's data.
        side: S, of all pictures.
    """

    def __init__(self, data: bytes, *, side: int) -> None:
        self.example = Example(data)
        self.side = side
        self.num_frames = int(self.example.integers("metadata/num_frames", 1)[0])
        self.num_objects = int(self.example.integers("metadata/num_instances", 1)[0])
        self.name = self.example.texts("metadata/video_name", 1)[0]
        if self.num_objects < 0:
            raise ValueError(f"metadata/num_instances is {self.num_objects}")
        self.example.bytes_list("video", self.num_frames)

    def video(self, frames: Sequence[int]) -> NDArray[np.uint8]:
        """Return frames in colour, shape (T, S, S, 3)."""
        return self._pictures("video", frames, "RGB")

    def segmentations(self, frames: Sequence[int]) -> NDArray[np.uint8]:
        """Return masks, shape (T, S, S): 0 is the background, object k is k + 1."""
        return self._pictures("segmentations", frames, "L")

    def depth(self, frames: Sequence[int]) -> NDArray[np.float32]:
        """Return distances from the camera in metres, shape (T, S, S)."""
        levels = self._pictures("depth", frames, *GRAY_OF_16_BITS)  # (T, S, S)
        return self._scaled(levels, "metadata/depth_range")

    def flow(self, frames: Sequence[int]) -> NDArray[np.float32]:
        """Return motion to the next frame, (d_row, d_column) in pixels of S, shape (T, S, S, 2)."""
        return self._flow("forward_flow", frames)

    def backward_flow(self, frames: Sequence[int]) -> NDArray[np.float32]:
        """Return motion to the frame before, as `flow` that to the next one."""
        return self._flow("backward_flow", frames)

    def _flow(self, key: str, frames: Sequence[int]) -> NDArray[np.float32]:
        shape = (self.num_frames, self.side, self.side, 2)
        # The list holds all frames of the video, those that nobody asks for too.
        levels = self.example.integers(key, math.prod(shape)).reshape(shape)
        self._check_frames(frames)
        return self._scaled(levels[list(frames)], f"metadata/{key}_range")

    def boxes(self, frames: Sequence[int]) -> NDArray[np.float32]:
        """Return boxes, shape (T, K, 4): (y_min, x_min, y_max, x_max) in [0, 1], -1 if absent.

        They were computed at 256x256 pixels: an object may have a box and no pixel in the masks.
        """
        # TensorFlow's ragged tensors: a flat list, and how many of its entries each object has.
        lengths = self._row_lengths("instances/bboxes")  # (K,)
        if (lengths != self._row_lengths("instances/bbox_frames")).any():
            raise ValueError("instances/bboxes and instances/bbox_frames have other row lengths")
        total = int(lengths.sum())  # boxes of all objects in all frames
        flat = "ragged_flat_values"
        values = self.example.floats(f"instances/bboxes/{flat}", 4 * total).reshape(total, 4)
        seen = self.example.integers(f"instances/bbox_frames/{flat}", total)
        if ((seen < 0) | (seen >= self.num_frames)).any():
            raise ValueError(
                f"instances/bbox_frames goes from {seen.min()} to {seen.max()}; the video has "
                f"{self.num_frames} frames"
            )
        boxes = np.full((self.num_frames, self.num_objects, 4), ABSENT, np.float32)
        objects = np.repeat(
            np.arange(self.num_objects), lengths
        )  # (total,), as are seen and values
        boxes[seen, objects] = values
        self._check_frames(frames)
        return boxes[list(frames)]

    def _row_lengths(self, key: str) -> NDArray[np.int64]:
        """Return the number of frames in which each object is seen, shape (K,)."""
        lengths = self.example.integers(f"{key}/ragged_row_lengths_0", self.num_objects)
        if ((lengths < 0) | (lengths > self.num_frames)).any():
            raise ValueError(f"{key} has the row lengths {lengths.tolist()}")
        return lengths

    def _pictures(self, key: str, frames: Sequence[int], *modes: str) -> NDArray:
        """Decode pictures of one of these modes of Pillow; all must have the record's size."""
        files = self.example.bytes_list(key, self.num_frames)
        self._check_frames(frames)
        pictures = []
        for frame in frames:
            try:
                picture = _read_png(files[frame], modes)
            except DAMAGED as error:
                raise ValueError(
                    f"{key}, frame {frame}: cannot be read as a PNG of its kind ({error})"
                ) from None
            if picture.shape[:2] != (self.side, self.side):
                raise ValueError(
                    f"{key}, frame {frame}: {picture.shape[1]}x{picture.shape[0]} pixels instead "
                    f"of {self.side}x{self.side}"
                )
            pictures.append(picture)
        return np.stack(pictures)  # (T, S, S) or (T, S, S, 3)

    def _scaled(self, levels: NDArray, range_key: str) -> NDArray[np.float32]:
        """Turn levels of 16 bits into the values that they stand for."""
        low, high = self.example.floats(range_key, 2).astype(np.float64)
        # Levels become float64 here, and are rounded once.
        return (levels / LEVELS * (high - low) + low).astype(np.float32)

    def _check_frames(self, frames: Sequence[int]) -> None:
        if not frames or min(frames) < 0 or max(frames) >= self.num_frames:
            raise ValueError(f"frames {list(frames)} are asked for; there are {self.num_frames}")


def _read_png(data: bytes, modes: Sequence[str]) -> NDArray:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        if picture.mode not in modes:
            raise ValueError(f"its mode is {picture.mode} instead of {modes[0]}")
        return np.asarray(picture)
