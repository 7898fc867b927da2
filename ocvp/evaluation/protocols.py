"""What a protocol asks of the videos and of a predictor."""

from pathlib import Path

from torch import nn

from ocvp.config.tree import Protocol
from ocvp.models.rollout import check_buffer


def check_protocol(protocol: Protocol, predictor: nn.Module, videos: Path, num_frames: int) -> None:
    """Check that the videos are long enough for a protocol, and the predictor's buffer for it.

    Raises:
        ValueError: If they are not.
    """
    length = protocol.num_context + protocol.num_preds
    if length > num_frames:
        raise ValueError(
            f"protocol.num_context + num_preds is {length}, but the videos of {videos} have "
            f"{num_frames} frames"
        )
    if not protocol.cut_context:
        check_buffer(getattr(predictor, "buffer_size", None), protocol.num_context)
