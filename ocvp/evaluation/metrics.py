"""The metrics, one row each, in the order of tables and files (docs/metrics.md says what they are).

What computes them lies with their functions: `IMAGE_METRICS`, `LABEL_METRICS` and
`TRACKING_METRICS` by the same names. Programs that only make tables read this table without those.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class Metric(NamedTuple):
    """What has to be known of a metric."""

    name: str
    """On the axes of figures, with its unit."""
    of: Literal["pixels", "masks", "rollout"]
    """What it compares: frames; segments with true masks; what a predictor alone has."""
    meaning: str
    """In one line, under tables; at most 68 characters."""
    lower_is_better: bool = False
    is_main: bool = False
    """Whether it stands in a table of few columns."""

    @property
    def arrow(self) -> str:
        """Where it is better."""
        return "↓" if self.lower_is_better else "↑"

    @property
    def label(self) -> str:
        """Its name with an arrow to where it is better."""
        return f"{self.name} {self.arrow}"


METRICS = {
    "psnr": Metric(
        "PSNR (dB)", "pixels", "of frames, in dB; mean over frames, at most 80", is_main=True
    ),
    "ssim": Metric("SSIM", "pixels", "structural similarity of frames, at most 1", is_main=True),
    "lpips_alex": Metric(
        *("LPIPS, AlexNet", "pixels", "perceptual distance of frames, by AlexNet"),
        lower_is_better=True,
        is_main=True,
    ),
    "lpips_vgg": Metric(
        "LPIPS, VGG", "pixels", "perceptual distance of frames, by VGG", lower_is_better=True
    ),
    "fg_ari_clip": Metric(
        *("FG-ARI of the clip", "masks"),
        "adjusted Rand index of foreground pixels, a clip at once; at most 1",
        is_main=True,
    ),
    "fg_ari_frame": Metric("FG-ARI per frame", "masks", "the same of each frame, then the mean"),
    "ari": Metric("ARI per frame", "masks", "that with the background as one more object"),
    "miou": Metric(
        "mIoU", "masks", "IoU of objects with the segments matched to them, per frame", is_main=True
    ),
    "mbo": Metric("mBO", "masks", "IoU of each object with its best segment, per frame"),
    "tracks_kept": Metric("Tracks kept", "masks", "share of objects that one slot holds all along"),
    "id_switches": Metric(
        *("Switches of slots", "masks"),
        "how often in a clip an object goes over to another slot",
        lower_is_better=True,
    ),
    "slot_mse": Metric(
        *("Slot MSE", "rollout"),
        "squared error of predicted slots; not comparable between SAVis",
        lower_is_better=True,
    ),
    "centre_error": Metric(
        *("Centre error (pixels)", "rollout"),
        "pixels between an object's centre and its slot's",
        lower_is_better=True,
        is_main=True,
    ),
    "centre_error_after_contact": Metric(
        *("Centre error after contact (pixels)", "rollout"),
        "the same of objects that met another one since the context",
        lower_is_better=True,
    ),
    "centre_error_without_contact": Metric(
        *("Centre error, no contact (pixels)", "rollout"),
        "the same of objects that met no other one yet",
        lower_is_better=True,
    ),
}
PIXEL_METRICS = tuple(name for name, metric in METRICS.items() if metric.of == "pixels")
MASK_METRICS = tuple(name for name, metric in METRICS.items() if metric.of == "masks")
BASELINES = {
    "copy_last_frame": "the true last context frame, repeated",
    "copy_last_slots": "SAVi's slots of that frame, repeated and decoded: no motion",
    "constant_velocity": "these slots, going on as between the last two context frames",
    "object_constant_velocity": "each object's true centre, going on likewise",
    "ceiling": "SAVi's own slots of the true future, decoded; it is no bound",
}
"""What predictions stand beside, in one line each, under tables."""
NAIVE_SEGMENTERS = {
    "kmeans_colour": "pixels grouped by colour into as many segments as there are slots",
    "held_boxes": "the boxes of the first frame, held",
}
"""What a SAVi stands beside, likewise."""
CONSTANT = "constant"
"""The probe that sees no slot: the mean of what is to be read, or its most frequent class."""

PROBED = "probe_"
"""With what the names of metrics start that say what a probe reads: `probe_velocity_linear`."""
PROBE_KINDS = {"linear": "linear", "mlp": "MLP"}
PROBE_MEASURES = {"r2": "R²", "accuracy": "accuracy"}


def label_of(name: str, entry: Mapping[str, Any]) -> str:
    """Return how figures call a metric of a file of scores; empty if this project does not know it.

    Args:
        name: Its name in the file.
        entry: What stands there.
    """
    if name in METRICS:
        return METRICS[name].label
    target, _, kind = name.removeprefix(PROBED).rpartition("_")
    measure = PROBE_MEASURES.get(entry.get("measure", ""))
    if not name.startswith(PROBED) or kind not in PROBE_KINDS or measure is None:
        return ""
    return f"{target.capitalize()}, {PROBE_KINDS[kind]} probe ({measure}) ↑"
