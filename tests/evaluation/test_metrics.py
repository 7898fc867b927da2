"""The table of metrics: a row for each function, and a function for each row."""

from typing import get_args

from ocvp.evaluation.comparisons import COMPARED
from ocvp.evaluation.image_metrics import IMAGE_METRICS
from ocvp.evaluation.metrics import MASK_METRICS, METRICS, PIXEL_METRICS, label_of
from ocvp.evaluation.perceptual import Network
from ocvp.evaluation.segmentation_metrics import LABEL_METRICS
from ocvp.evaluation.tracking_metrics import TRACKING_METRICS


def test_each_metric_is_computed_by_a_function_of_its_name():
    assert {*IMAGE_METRICS, *(f"lpips_{network}" for network in get_args(Network))} == set(
        PIXEL_METRICS
    )
    assert tuple(LABEL_METRICS) == MASK_METRICS
    of_rollouts = METRICS.keys() - {*PIXEL_METRICS, *MASK_METRICS}
    assert of_rollouts == {"slot_mse", *TRACKING_METRICS}
    assert set(COMPARED) < METRICS.keys()


def test_labels_say_what_is_better():
    assert METRICS["psnr"].label == "PSNR (dB) ↑"
    assert METRICS["centre_error"].label == "Centre error (pixels) ↓"
    worse_when_higher = {name for name, metric in METRICS.items() if metric.lower_is_better}
    errors = {"slot_mse", *TRACKING_METRICS}
    assert worse_when_higher == {"lpips_alex", "lpips_vgg", "id_switches", *errors}


def test_what_probes_read_is_called_by_target_probe_and_measure():
    assert label_of("psnr", {}) == "PSNR (dB) ↑"
    r2 = label_of("probe_velocity_mlp", {"measure": "r2"})
    assert r2 == "Velocity, MLP probe (R²) ↑"
    accuracy = label_of("probe_kind_linear", {"measure": "accuracy"})
    assert accuracy == "Kind, linear probe (accuracy) ↑"
    for name, entry in {
        "probe_kind_linear": {},
        "probe_kind_deep": {"measure": "r2"},
        "kind_mlp": {"measure": "r2"},
    }.items():
        assert label_of(name, entry) == ""
