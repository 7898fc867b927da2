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
    lower_is_better: bool = False

    @property
    def label(self) -> str:
        """Its name with an arrow to where it is better."""
        return f"{self.name} {'↓' if self.lower_is_better else '↑'}"


METRICS = {
    "psnr": Metric("PSNR (dB)", "pixels"),
    "ssim": Metric("SSIM", "pixels"),
    "lpips_alex": Metric("LPIPS, AlexNet", "pixels", lower_is_better=True),
    "lpips_vgg": Metric("LPIPS, VGG", "pixels", lower_is_better=True),
    "fg_ari_clip": Metric("FG-ARI of the clip", "masks"),
    "fg_ari_frame": Metric("FG-ARI per frame", "masks"),
    "ari": Metric("ARI per frame", "masks"),
    "miou": Metric("mIoU", "masks"),
    "mbo": Metric("mBO", "masks"),
    "tracks_kept": Metric("Tracks kept", "masks"),
    "id_switches": Metric("Switches of slots", "masks", lower_is_better=True),
    "slot_mse": Metric("Slot MSE", "rollout", lower_is_better=True),
    "centre_error": Metric("Centre error (pixels)", "rollout", lower_is_better=True),
    "centre_error_after_contact": Metric(
        "Centre error after contact (pixels)", "rollout", lower_is_better=True
    ),
    "centre_error_without_contact": Metric(
        "Centre error, no contact (pixels)", "rollout", lower_is_better=True
    ),
}
PIXEL_METRICS = tuple(name for name, metric in METRICS.items() if metric.of == "pixels")
MASK_METRICS = tuple(name for name, metric in METRICS.items() if metric.of == "masks")
BASELINES = (
    "copy_last_frame",
    "copy_last_slots",
    "constant_velocity",
    "object_constant_velocity",
    "ceiling",
)
NAIVE_SEGMENTERS = ("kmeans_colour", "held_boxes")
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
