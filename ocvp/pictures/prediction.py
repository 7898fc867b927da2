"""Pictures of a prediction that may go on past the end of its video.

T frames, H W pixels; without true masks, colours follow the slots.
"""

import numpy as np

from ocvp.pictures.animation import animation
from ocvp.pictures.decoded import Decoded
from ocvp.pictures.drawing import MAX_COLUMNS, choose_columns
from ocvp.pictures.overlays import overlay, slot_colours, upscale
from ocvp.pictures.strips import EMPTY, Row, strip


def prediction_pictures(
    frames: np.ndarray, seen: Decoded, future: Decoded, num_context: int, factor: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw a video and its prediction as a strip and as an animation.

    Args:
        frames: The video, uint8, shape (T, H, W, 3); it may end before the prediction does.
        seen: What its slots decode to, of the same T.
        future: What the predicted slots decode to, of the frames after the context.
        num_context: Context frames.
        factor: Enlargement of the frames in the strip; those of the animation are a step larger.

    Returns:
        The strip, uint8, shape (height, width, 3), and the animation's pictures.
    """
    labels, predicted_labels = seen.labels, future.labels
    # Without true masks the slot that covers the most pixels is taken for the background.
    background = int(np.bincount(labels[num_context - 1].ravel()).argmax())
    colours = slot_colours(seen.masks.shape[1], None, background)
    painted = overlay(future.frames, predicted_labels, colours, factor)
    rows = [
        Row("Video", upscale(frames, factor)),
        Row("Slots", overlay(frames, labels, colours, factor)),
        Row("Prediction", upscale(future.frames, factor), num_context),
        Row("Predicted\nslots", painted, num_context),
    ]
    length = num_context + len(future.frames)
    columns = choose_columns(length, num_context, MAX_COLUMNS)
    # past the end of the video there is nothing to compare with
    missing = np.full((length - len(frames), *frames.shape[1:]), EMPTY, np.uint8)
    decoded = np.concatenate([seen.frames[:num_context], future.frames])
    decoded_labels = np.concatenate([labels[:num_context], predicted_labels])
    views = [
        Row("Truth", upscale(np.concatenate([frames, missing]), factor + 1)),
        Row("Prediction", upscale(decoded, factor + 1)),
        Row("Slots", overlay(decoded, decoded_labels, colours, factor + 1)),
    ]
    moving = animation([views], num_context=num_context)
    return strip(rows, num_context=num_context, columns=columns), moving
