"""What a SAVi is trained to predict beside the colours: pictures made of the fields of videos.

Slots that must tell what moves, or what stands before what, divide a picture by objects where its
colours alone do not ask for it: SAVi is trained on optical flow (Kipf et al., ICLR 2022), SAVi++ on
flow and depth (Elsayed et al., NeurIPS 2022).

B batch, T frames, C channels, H W pixels.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ocvp.config.savi import TARGET_FIELDS
from ocvp.data.videos import VideoFile

FLOW_SCALE = 50.0
"""Flow as long as the diagonal over this has the full colour (that of SAVi's code)."""


def target_fields(names: Iterable[str], videos: Sequence[Path]) -> list[str]:
    """Return the fields of files of videos that targets are made of.

    Args:
        names: The targets.
        videos: The files; of the fields that a target can be made of, all must have one in common.

    Raises:
        ValueError: If a file lacks what a target is made of, naming both.
    """
    found = []
    for path in videos:
        with VideoFile(path) as file:
            found.append(set(file.fields))
    fields = []
    for name in names:
        choices = TARGET_FIELDS[name]
        chosen = [field for field in choices if all(field in stored for stored in found)]
        if not chosen:
            raise ValueError(
                f"training.target has {name}, but {' and '.join(map(str, videos))} do not "
                f"both hold {' or '.join(choices)}; store it (`fields` of the data set), or train "
                "without"
            )
        fields.append(chosen[0])
    return fields


def make_targets(
    names: Iterable[str], frames: Tensor, fields: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return what is to be predicted for each frame of a batch of clips.

    What looks ahead, forward flow and differences, has no value for a clip's last frame: the model
    is not given the next one, and a video ends there.

    Args:
        names: The targets.
        frames: Shape (B, T, 3, H, W), values in [0, 1]; the targets are made where they are.
        fields: What `target_fields` names, as it is stored: shape (B, T, H, W, ...).

    Returns:
        Shape (B, T', C, H, W) by name, T' being T or T - 1, of the first frames:
        flow: the backward flow where it is stored, else the forward one, as a `flow_picture`;
        depth: log(1 + depth), one channel (SAVi++);
        difference: the next frame minus this one, in [-1, 1].
    """

    def read(field: str) -> Tensor:
        return fields[field].to(frames.device, non_blocking=True)

    targets = {}
    for name in names:
        if name == "difference":
            targets[name] = frames[:, 1:] - frames[:, :-1]
        elif name == "depth":
            targets[name] = read("depth").log1p().unsqueeze(2)
        elif "backward_flow" in fields:
            targets[name] = flow_picture(read("backward_flow"))
        else:
            targets[name] = flow_picture(read("flow")[:, :-1])
    return targets


def flow_picture(flow: Tensor) -> Tensor:
    """Turn optical flow into the picture that SAVi is trained on.

    The direction is the hue and the length the saturation, of a value of 1: what rests is white.
    As `flow_tensor_to_rgb_tensor` of SAVi's code computes it (savi/lib/preprocessing.py), but
    without its rounding to 8 bits.

    Args:
        flow: (d_row, d_column) in pixels, shape (..., H, W, 2).

    Returns:
        Red, green and blue in [0, 1], shape (..., 3, H, W).
    """
    height, width = flow.shape[-3:-1]
    d_row, d_column = flow.unsqueeze(-4).unbind(dim=-1)  # (..., 1, H, W) each
    hue = torch.atan2(d_column, d_row) / (2 * math.pi) + 0.5  # in [0, 1], a circle
    length = torch.hypot(d_row, d_column) * (FLOW_SCALE / math.hypot(height, width))
    # A channel is full up to a sixth of the circle from its own hue, and none beyond a third.
    own = torch.arange(3, device=flow.device)[:, None, None] / 3
    distance = ((hue - own + 0.5) % 1 - 0.5).abs()  # (..., 3, H, W), at most a half
    return 1 - length.clamp(max=1) * (1 - (2 - 6 * distance).clamp(0, 1))
