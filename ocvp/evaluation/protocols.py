"""What a protocol asks of the videos, of their slots and of a predictor."""

from pathlib import Path

from torch import nn

from ocvp.config.tree import Protocol
from ocvp.data.slot_files import check_slots
from ocvp.data.videos import VideoFile
from ocvp.models.rollout import check_buffer


def check_protocol(
    protocol: Protocol, predictor: nn.Module, videos: Path, slots: Path, weights_digest: str
) -> int:
    """Check that slots are those of videos, and long enough, and the predictor's buffer too.

    Args:
        protocol: The protocol.
        predictor: The predictor.
        videos: The file of videos.
        slots: The file of their slots.
        weights_digest: That of the SAVi which made the slots.

    Returns:
        How many videos there are.

    Raises:
        ValueError: If they are not.
    """
    with VideoFile(videos) as file:
        num_videos, num_frames = file.num_videos, file.num_frames
    check_slots(slots, weights_digest=weights_digest, num_videos=num_videos, num_frames=num_frames)
    length = protocol.num_context + protocol.num_preds
    if length > num_frames:
        raise ValueError(
            f"protocol.num_context + num_preds is {length}, but the videos of {videos} have "
            f"{num_frames} frames"
        )
    if not protocol.cut_context:
        check_buffer(getattr(predictor, "buffer_size", None), protocol.num_context)
    return num_videos
