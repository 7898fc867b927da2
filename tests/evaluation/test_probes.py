"""Probes on slots whose content is known, and the file in which they are kept."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score

from ocvp.evaluation.probes import (
    CONSTANT,
    Probe,
    fit_probe,
    load_probes,
    obstacle,
    save_probes,
)

NUM_OBJECTS, SLOT_DIM = 400, 12
RNG = np.random.default_rng(1)
SLOTS = RNG.normal(3.0, 5.0, (2 * NUM_OBJECTS, SLOT_DIM)).astype(np.float32)
SLOTS[:, 5] = 7.0  # a component that says nothing must not divide by 0
MIXING = RNG.normal(size=(SLOT_DIM, 2))
LINEAR = SLOTS @ MIXING + np.array([100.0, -3.0])
NAMES = np.where(SLOTS[:, 0] > 3, "sphere", "box")


def test_a_linear_probe_reads_what_slots_hold_linearly_and_nothing_of_noise():
    fitted, unseen = slice(NUM_OBJECTS), slice(NUM_OBJECTS, None)
    probe = fit_probe("linear", SLOTS[fitted], LINEAR[fitted], seed=0)
    assert r2_score(LINEAR[unseen], probe.read(SLOTS[unseen])) > 0.999
    noise = RNG.normal(size=(2 * NUM_OBJECTS, 2))
    probe = fit_probe("linear", SLOTS[fitted], noise[fitted], seed=0)
    assert abs(r2_score(noise[unseen], probe.read(SLOTS[unseen]))) < 0.1


def test_an_mlp_reads_what_no_linear_probe_can():
    slots = RNG.normal(size=(4 * NUM_OBJECTS, 3)) * 4 + 1
    bent = np.abs(slots[:, :1] - 1)  # uncorrelated with the slots
    r2 = {}
    for kind in ("linear", "mlp"):
        probe = fit_probe(kind, slots[::2], bent[::2], seed=0)
        r2[kind] = r2_score(bent[1::2], probe.read(slots[1::2]))
    assert r2["linear"] < 0.1
    assert r2["mlp"] > 0.9


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_classes_are_read_by_name(kind, num_classes):
    names = np.where(SLOTS[:, 1] > 8, "cone", NAMES) if num_classes == 3 else NAMES
    probe = fit_probe(kind, SLOTS, names, seed=0)
    assert probe.classes == sorted(
        {"box", "cone", "sphere"} if num_classes == 3 else {"box", "sphere"}
    )
    read = probe.read(SLOTS.reshape(2, NUM_OBJECTS, SLOT_DIM))
    assert read.shape == (2, NUM_OBJECTS)
    assert (read.ravel() == names).mean() > 0.93


def test_a_linear_probe_is_scikit_learns_ridge_on_standardised_slots():
    deviations = SLOTS.astype(np.float64).std(axis=0)
    standard = (SLOTS - SLOTS.astype(np.float64).mean(axis=0)) / np.where(
        deviations > 0, deviations, 1
    )
    noisy = LINEAR + RNG.normal(size=LINEAR.shape) * 20
    ridge = Ridge(alpha=1.0).fit(standard, noisy)
    read = fit_probe("linear", SLOTS, noisy, seed=0).read(SLOTS)
    np.testing.assert_allclose(read, ridge.predict(standard), rtol=1e-9)


def test_the_constant_probe_sees_no_slot():
    guess = fit_probe(CONSTANT, SLOTS, LINEAR, seed=0).read(SLOTS[:3])
    np.testing.assert_allclose(guess, np.tile(LINEAR.mean(axis=0), (3, 1)))
    names = np.array(["a"] * 3 + ["b"] * 5 + ["c"] * 2)
    assert fit_probe(CONSTANT, SLOTS[:10], names, seed=0).read(SLOTS[:4]).tolist() == ["b"] * 4


def test_one_class_is_nothing_to_read():
    assert obstacle(np.array(["box"] * 5)) == "the objects are of 1 class; a probe needs two"
    assert obstacle(LINEAR[:0]) == "it is known of no object that has a slot"
    assert obstacle(NAMES) == obstacle(LINEAR[:1]) == ""


def test_a_regression_that_does_not_converge_is_told_and_an_mlp_is_not(monkeypatch, recwarn):
    hasty = LogisticRegression(max_iter=1)
    monkeypatch.setattr("ocvp.evaluation.probes.LogisticRegression", lambda **_: hasty)
    fit_probe("mlp", SLOTS[:100], NAMES[:100], seed=0)
    assert not recwarn.list
    fit_probe("linear", SLOTS, NAMES, seed=0)
    assert [warning.category for warning in recwarn.list] == [ConvergenceWarning]


def test_the_same_seed_gives_the_same_mlp():
    first, again, other = (fit_probe("mlp", SLOTS[:50], LINEAR[:50], seed=s) for s in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first.layers[0], again.layers[0], strict=True))
    assert (first.layers[0][0] != other.layers[0][0]).any()


# --- files --------------------------------------------------------------------------------------


def test_probes_survive_their_file_bit_for_bit(tmp_path):
    probes = {
        "position": {kind: fit_probe(kind, SLOTS, LINEAR, seed=0) for kind in ("linear", "mlp")},
        "kind": {"linear": fit_probe("linear", SLOTS, NAMES, seed=0)},
    }
    path = tmp_path / "probe.tensors"
    save_probes(path, probes, savi_digest="abc")
    found = load_probes(path, savi_digest="abc")
    assert {target: list(kinds) for target, kinds in found.items()} == {
        "position": ["linear", "mlp"],
        "kind": ["linear"],
    }
    for target, kinds in probes.items():
        for kind, probe in kinds.items():
            assert (found[target][kind].read(SLOTS) == probe.read(SLOTS)).all()
    former = path.read_bytes()
    save_probes(path, found, savi_digest="abc")
    assert path.read_bytes() == former


DAMAGES = {
    "empty": lambda content: {},
    "of another format": lambda content: content | {"format": "ocvp probes 0"},
    "without probes": lambda content: content | {"probes": None},
    "without layers": lambda content: content | {"probes": {"size": {"linear": {"classes": []}}}},
    "with layers that do not fit": lambda content: (
        content
        | {
            "probes": {
                "size": {"linear": {"layers": [(torch.zeros(3), torch.zeros(3, 2))], "classes": []}}
            }
        }
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named(damage, tmp_path):
    path = tmp_path / "probe.tensors"
    save_probes(path, {"size": {"linear": Probe([(np.zeros((2, 1)), np.zeros(1))], [])}}, "abc")
    torch.save(damage(torch.load(path)), path)
    with pytest.raises(ValueError, match=r"probe\.tensors"):
        load_probes(path, savi_digest="abc")


def test_probes_of_another_savi_are_refused(tmp_path):
    path = tmp_path / "probe.tensors"
    save_probes(path, {}, savi_digest="abc")
    with pytest.raises(ValueError, match="the slots of another SAVi"):
        load_probes(path, savi_digest="def")
