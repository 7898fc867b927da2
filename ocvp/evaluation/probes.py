"""Probes: small models that read off a slot what is known of the object that it holds.

What a linear model reads off a representation of a network, it holds plainly (Alain and Bengio,
2017); what only a network with a hidden layer reads, it holds as well, but not so. All are fitted
by scikit-learn on standardised slots, and kept as plain arrays.

M objects in frames, D slot_dim, C components of a target, or its classes.
"""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from ocvp.evaluation.metrics import CONSTANT, PROBE_KINDS
from ocvp.models.tensor_files import read_tensors, save_tensors

KINDS = (*PROBE_KINDS, CONSTANT)
NETWORK: dict[str, Any] = {"hidden_layer_sizes": (64,), "alpha": 1e-3, "max_iter": 60}
"""Of the MLP: one hidden layer, weight decay, and epochs of Adam with a rate of 1e-3."""
FORMAT = "ocvp probes 1"

Floats = NDArray[np.float64]


class Probe(NamedTuple):
    """A fitted probe: affine layers with rectifiers between them, on slots as they are."""

    layers: list[tuple[Floats, Floats]]
    """Weights (in, out) and biases (out,); without any weights a constant."""
    classes: list[str]
    """Names of the classes, which the last layer's outputs stand for; empty for numbers."""

    def read(self, slots: NDArray[Any]) -> NDArray[Any]:
        """Return what the probe reads off slots (..., D): numbers (..., C), or names (...)."""
        values = slots.astype(np.float64)
        with threadpool_limits(limits=1):  # so that sums do not depend on the machine's cores
            for number, (weights, biases) in enumerate(self.layers):
                values = (np.maximum(values, 0) if number else values) @ weights + biases
        return np.array(self.classes)[values.argmax(axis=-1)] if self.classes else values


def fit_probe(kind: str, slots: NDArray[Any], targets: NDArray[Any], seed: int) -> Probe:
    """Fit one probe.

    Args:
        kind: One of `KINDS`: ridge or logistic regression with a penalty of 1, an MLP (`NETWORK`),
            or a constant.
        slots: Slots that hold objects, (M, D).
        targets: Their numbers (M, C), or the names of their classes (M,); see `obstacle`.
        seed: Seed of the MLP.

    Raises:
        ValueError: If scikit-learn cannot fit them.
    """
    slots, is_class = slots.astype(np.float64), targets.ndim == 1
    classes: list[str] = []
    if is_class:
        names, counts = np.unique(targets, return_counts=True)
        classes = list(map(str, names))
    if kind == CONSTANT:
        guess = np.eye(len(classes))[counts.argmax()] if is_class else targets.mean(axis=0)
        return Probe([(np.zeros((slots.shape[1], len(guess))), guess)], classes)
    mean, scale = slots.mean(axis=0), _scale(slots)
    shift, unit = (0.0, 1.0) if is_class else (targets.mean(axis=0), _scale(targets))
    standard = targets if is_class else (targets - shift) / unit
    if standard.ndim == 2 and standard.shape[1] == 1:
        standard = standard[:, 0]  # as scikit-learn asks for
    model = _model(kind, is_class, seed)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        if kind == "mlp":  # whose number of epochs is a choice
            warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((slots - mean) / scale, standard)
    layers = _layers_of(model)
    weights, biases = layers[-1]
    if len(classes) == 2:  # one output, above 0 for the second class
        layers[-1] = (np.append(0 * weights, weights, axis=1), np.append(0 * biases, biases))
    # --- both standardisations become part of the layers
    weights, biases = layers[0]
    layers[0] = (weights / scale[:, None], biases - (mean / scale) @ weights)
    weights, biases = layers[-1]
    layers[-1] = (weights * unit, biases * unit + shift)
    return Probe(layers, classes)


def obstacle(targets: NDArray[Any]) -> str:
    """Return why no probe can be fitted to targets (M, C) or (M,); empty: it can."""
    if not len(targets):
        return "it is known of no object that has a slot"
    if targets.ndim == 1 and (targets == targets[0]).all():
        return "the objects are of 1 class; a probe needs two"
    return ""


def _model(kind: str, is_class: bool, seed: int) -> Any:
    if kind == "linear":
        return LogisticRegression(max_iter=1000) if is_class else Ridge()
    network = MLPClassifier if is_class else MLPRegressor
    return network(**NETWORK, random_state=seed % 2**32)


def _layers_of(model: Any) -> list[tuple[Floats, Floats]]:
    if hasattr(model, "coefs_"):
        return list(zip(model.coefs_, model.intercepts_, strict=True))
    return [(np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))]


def _scale(values: Floats) -> Floats:
    """Return the standard deviations of columns, 1 for those of one value."""
    deviations = values.std(axis=0)
    return np.where(deviations > 0, deviations, 1.0)


# --- files of probes ----------------------------------------------------------------------------

Probes = dict[str, dict[str, Probe]]
"""Target and kind to a probe, for each of `KINDS`; a target that cannot be probed is left out."""


def save_probes(path: Path, probes: Probes, savi_digest: str) -> None:
    """Write the probes of a SAVi's slots atomically, in a file of tensors.

    Args:
        path: File to write.
        probes: The probes.
        savi_digest: Digest of the SAVi's weights.
    """
    content = {
        target: {
            kind: {
                "layers": [tuple(map(torch.from_numpy, layer)) for layer in probe.layers],
                "classes": probe.classes,
            }
            for kind, probe in kinds.items()
        }
        for target, kinds in probes.items()
    }
    save_tensors(path, {"format": FORMAT, "savi_digest": savi_digest, "probes": content})


def load_probes(path: Path, savi_digest: str) -> Probes:
    """Read the probes of a SAVi's slots.

    Raises:
        ValueError: If the file is missing or damaged, or of another SAVi, naming it.
    """
    content = read_tensors(path)
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} holds no probes: it has no format {FORMAT!r}")
    if content.get("savi_digest") != savi_digest:
        raise ValueError(
            f"{path} was fitted on the slots of another SAVi (weights "
            f"{str(content.get('savi_digest'))[:12]}, given is {savi_digest[:12]}); fit it again"
        )
    try:
        return {
            target: {kind: _probe(entry) for kind, entry in kinds.items()}
            for target, kinds in content["probes"].items()
        }
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); fit it again") from None


def _probe(entry: dict[str, Any]) -> Probe:
    """Return the probe of an entry of a file; in whatever way it raises, it is damaged."""
    layers = [(weights.numpy(), biases.numpy()) for weights, biases in entry["layers"]]
    shapes = [(*weights.shape, *biases.shape) for weights, biases in layers]
    widths = [shape[0] for shape in shapes[1:]] + [len(entry["classes"]) or shapes[-1][-1]]
    for (_, width, num_biases), following in zip(shapes, widths, strict=True):
        if not width == num_biases == following:
            raise ValueError(f"layers of shapes {shapes} for {len(entry['classes'])} classes")
    return Probe(layers, list(map(str, entry["classes"])))
