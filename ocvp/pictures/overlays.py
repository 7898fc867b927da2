"""Colours for segments, and pictures of segmentations and slots as arrays.

T frames, N slots, K objects, H, W pixels; leading dimensions are free and kept.
"""

import numpy as np

# Okabe and Ito's colours (2008), then further ones from Tol's schemes (2021): told apart with
# every common form of colour blindness where they are neighbours in this order.
PALETTE = np.array(
    [
        (0, 114, 178),  # blue
        (230, 159, 0),  # orange
        (0, 158, 115),  # green
        (213, 94, 0),  # vermilion
        (204, 121, 167),  # purple
        (240, 228, 66),  # yellow
        (86, 180, 233),  # sky blue
        (51, 34, 136),  # indigo
        (136, 34, 85),  # wine
        (153, 153, 51),  # olive
        (255, 170, 187),  # pink
        (68, 187, 153),  # mint
    ],
    dtype=np.uint8,
)

BACKGROUND = np.array((150, 150, 150), dtype=np.uint8)

# Grey of frames takes part of the brightness of a segment's colour; below that it is all colour.
_FLOOR = 0.7

_CELL = 4  # side of a square of the checkerboard behind slots, in pixels


def palette(count: int) -> np.ndarray:
    """Return `count` colours, uint8, shape (count, 3); past 12 they come back lighter, then darker.

    Args:
        count: 0 or more.
    """
    rounds = [PALETTE, 0.5 * PALETTE + 127.5, 0.5 * PALETTE]
    repeats = -(-count // (3 * len(PALETTE)))
    return np.concatenate([*rounds * repeats, PALETTE[:0]])[:count].astype(np.uint8)


def object_colours(num_objects: int) -> np.ndarray:
    """Return the colours of true labels, uint8, shape (K + 1, 3): grey, then one per object."""
    return np.concatenate([BACKGROUND[None], palette(num_objects)])


def slot_colours(
    num_slots: int, assignment: np.ndarray | None = None, background: int | None = None
) -> np.ndarray:
    """Return the colours of slots, so that a slot can look like the object that it holds.

    Args:
        num_slots: Number N of slots.
        assignment: Slot of each object, shape (K,), -1 where it has none (as from `assign_slots`);
            that slot gets the object's colour of `object_colours`. None: one colour after another.
        background: Slot to paint grey unless it belongs to an object; None for no such slot.

    Returns:
        Colours, uint8, shape (N, 3), different for different slots up to 12 objects and slots.

    Raises:
        ValueError: If the assignment or the background names a slot that does not exist.
    """
    slots = [] if assignment is None else [int(slot) for slot in assignment]
    for slot in [*slots, -1 if background is None else background]:
        if not -1 <= slot < num_slots:
            raise ValueError(f"slot {slot} is named, but there are {num_slots} slots")
    source = {slot: k for k, slot in enumerate(slots) if slot != -1}
    # colours that no object has, for slots without one
    spare = (k for k in range(len(slots) + num_slots) if k not in source.values())
    colours = palette(len(slots) + num_slots)
    chosen = {background: BACKGROUND} | {slot: colours[k] for slot, k in source.items()}
    return np.stack([chosen[n] if n in chosen else colours[next(spare)] for n in range(num_slots)])


def background_slot(true_labels: np.ndarray, predicted_labels: np.ndarray) -> int:
    """Return the slot that covers the most pixels of the true background, 0 where there are none.

    Args:
        true_labels: True labels, 0 for the background, any shape.
        predicted_labels: Slot indices, the same shape.
    """
    return int(np.argmax(np.bincount(predicted_labels[true_labels == 0].ravel(), minlength=1)))


def upscale(images: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge pictures (..., H, W, C) by nearest neighbour to (..., H * factor, W * factor, C).

    Raises:
        ValueError: If factor is below 1.
    """
    if factor < 1:
        raise ValueError(f"factor is {factor}, allowed is 1 and above")
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def overlay(
    frames: np.ndarray, labels: np.ndarray, colours: np.ndarray, factor: int = 1
) -> np.ndarray:
    """Paint segments over a grey version of the frames.

    Args:
        frames: Frames, uint8, shape (..., H, W, 3).
        labels: Segment of each pixel, integers, shape (..., H, W).
        colours: Colour of each segment, uint8, shape (number of segments, 3).
        factor: Enlargement; from 3 on a thin dark line parts the segments.

    Returns:
        Pictures, uint8, shape (..., H * factor, W * factor, 3).

    Raises:
        ValueError: If the shapes do not match, a label has no colour, or factor is below 1.
    """
    _check_shapes("frames", frames, "labels", labels)
    if labels.max(initial=0) >= len(colours):
        raise ValueError(f"label {labels.max()} has no colour, there are {len(colours)} colours")
    grey = frames @ np.array([0.299, 0.587, 0.114]) / 255  # luma of ITU-R BT.601
    shade = (_FLOOR + (1 - _FLOOR) * grey)[..., None]  # (..., H, W, 1)
    painted = upscale(np.rint(colours[labels] * shade).astype(np.uint8), factor)
    if factor >= 3:
        large = upscale(labels[..., None], factor)[..., 0]  # (..., H * factor, W * factor)
        # where the pixel above or to the left has another label
        border = np.zeros(large.shape, dtype=bool)
        border[..., 1:, :] |= large[..., 1:, :] != large[..., :-1, :]
        border[..., 1:] |= large[..., 1:] != large[..., :-1]
        painted[border] = 40  # dark grey
    return painted


def slot_pictures(objects: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Show what each slot holds: its picture where its mask is 1, a checkerboard where it is 0.

    Args:
        objects: Each slot's picture before masking, shape (..., H, W, 3), in [0, 1] (cut to it).
        masks: Soft masks, shape (..., H, W), in [0, 1].

    Returns:
        Pictures, uint8, shape (..., H, W, 3).

    Raises:
        ValueError: If the shapes do not match.
    """
    _check_shapes("objects", objects, "masks", masks)
    height, width = masks.shape[-2:]
    odd = (np.arange(height)[:, None] // _CELL + np.arange(width) // _CELL) % 2
    checker = np.where(odd, 0.88, 1.0)[..., None]  # (H, W, 1)
    weights = np.clip(masks, 0, 1)[..., None]  # (..., H, W, 1)
    pictures = np.clip(objects, 0, 1) * weights + checker * (1 - weights)
    return np.rint(255 * pictures).astype(np.uint8)


def _check_shapes(name: str, colour: np.ndarray, other: str, plain: np.ndarray) -> None:
    """Check that one array has three channels more than the other."""
    if colour.shape != (*plain.shape, 3):
        raise ValueError(
            f"{name} have shape {colour.shape}, {other} {plain.shape}; allowed are (..., H, W, 3) "
            "and (..., H, W)"
        )
