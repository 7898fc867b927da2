"""What a SAVi is given with the frames: boxes or centres of the objects, or noise.

B batch, T frames, N slots, D slot_dim, V videos, K objects.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ocvp.batches.boxes import model_conditions
from ocvp.batches.windows import Window, slot_noise, to_model
from ocvp.data.videos import VideoFile
from ocvp.models.savi import SAVi

CONDITIONAL = ("boxes", "centres")


def video_sources(savi: SAVi, videos: Path) -> dict[str, tuple[Path, str]]:
    """Return the fields of a file of videos that a SAVi reads, for `WindowReader`.

    Raises:
        ValueError: If the SAVi starts from boxes and the file has none, the frames have another
            size than the SAVi was made for, or there are more objects than slots.
    """
    sources = {"frames": (videos, "frames")}
    with VideoFile(videos) as file:
        size = (file.height, file.width)
        has_boxes, objects = file.has("boxes"), file.max_objects
    if size != tuple(savi.resolution):
        raise ValueError(f"{videos}: frames are {size}, this SAVi takes {tuple(savi.resolution)}")
    if savi.initializer_kind in CONDITIONAL:
        if not has_boxes:
            raise ValueError(
                f"{videos} has no boxes, but this SAVi starts from them (initializer "
                f"{savi.initializer_kind}); use initializer learned_random or random"
            )
        if objects > savi.num_slots:
            raise ValueError(
                f"{videos}: {objects} objects, but this SAVi has {savi.num_slots} slots"
            )
        sources["boxes"] = (videos, "boxes")
    return sources


def savi_inputs(
    savi: SAVi,
    windows: Sequence[Window],
    batch: Mapping[str, Tensor],
    *,
    seed: int,
    purpose: str,
    epoch: int = 0,
) -> dict[str, Tensor]:
    """Return the arguments of a SAVi for one batch of windows.

    Args:
        savi: The model; the tensors go to its device.
        windows: The windows that were read, on which the noise depends.
        batch: `frames` uint8 (B, T, H, W, 3), and `boxes` (B, T, K, 4) where the SAVi wants them.
        seed: The run's seed.
        purpose: What the noise is for, for example `train`.
        epoch: The epoch, on which the noise depends.
    """
    device = next(savi.parameters()).device
    inputs = {"frames": to_model(batch["frames"], device)}
    kind, box_format = savi.initializer_kind, savi.box_format
    if kind in CONDITIONAL:
        boxes = batch["boxes"].to(device, non_blocking=True)[:, 0]  # the first frame's
        inputs |= model_conditions(boxes, initializer=kind, box_format=box_format)
    else:
        noise = slot_noise(seed, purpose, epoch, windows, savi.num_slots, savi.slot_dim)
        if device.type == "cuda":  # from other memory the copy would wait for the step before
            noise = noise.pin_memory()
        inputs["noise"] = noise.to(device, non_blocking=True)
    return inputs


@torch.no_grad()
def encode_from_start(
    savi: SAVi, windows: Sequence[Window], batch: Mapping[str, Tensor], *, seed: int, purpose: str
) -> Tensor:
    """Return SAVi's slots (B, T, N, D) of windows that start on frame 0."""
    return savi.encode(**savi_inputs(savi, windows, batch, seed=seed, purpose=purpose))
