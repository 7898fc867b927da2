"""Checkpoints: weights come back bit for bit, and what is damaged, foreign or armed is refused."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from tiny import Payload, make_savi, savi_stage, write_predictor, write_savi

from ocvp.checkpoint import (
    check_belongs,
    load_predictor,
    load_savi,
    read_checkpoint,
    read_tensors,
    save_checkpoint,
    save_training,
    weights_digest,
)
from ocvp.config import SaviStage
from ocvp.training import TrainingState


@pytest.fixture
def savi(tmp_path):
    return write_savi(tmp_path / "savi.pt")


def test_a_model_comes_back_as_it_was(savi):
    expected, _ = make_savi()
    loaded = load_savi(savi)
    assert not loaded.training
    assert loaded.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert read_checkpoint(savi, ("savi",))["weights_digest"] == weights_digest(
        expected.state_dict()
    )


@pytest.mark.parametrize("kind", ["lstm", "ocvp_seq"])
def test_a_predictor_comes_back_and_belongs_to_its_savi(savi, tmp_path, kind):
    path = write_predictor(tmp_path / "predictor.pt", savi, kind)
    predictor = load_predictor(path)
    assert not predictor.training
    assert check_belongs(path, savi) == weights_digest(predictor.state_dict())
    other = write_savi(tmp_path / "other.pt", seed=1)
    with pytest.raises(ValueError, match=r"predictor.pt was trained on another SAVi .* than "):
        check_belongs(path, other)


def test_a_file_does_not_depend_on_its_name(savi, tmp_path):
    other = write_savi(tmp_path / "a longer name.pt")
    assert other.read_bytes() == savi.read_bytes()


def test_the_digest_sees_names_types_shapes_and_bytes_and_no_order():
    weights = {"a": torch.arange(6.0), "b": torch.zeros(2, dtype=torch.int64)}
    digest = weights_digest(weights)
    assert digest == weights_digest(dict(reversed(weights.items())))
    assert digest == weights_digest({"a": torch.arange(12.0)[:6], "b": weights["b"].clone()})
    changed = [
        {"c": weights["a"], "b": weights["b"]},
        {"a": weights["a"].reshape(2, 3), "b": weights["b"]},
        {"a": weights["a"].double(), "b": weights["b"]},
        {"a": weights["a"].nextafter(torch.tensor(9.0)), "b": weights["b"]},
        {"a": weights["a"]},
    ]
    assert len({digest, *map(weights_digest, changed)}) == 1 + len(changed)


@pytest.mark.parametrize(("select", "product", "beside"), [("last", 1, 2), ("best", 2, 1)])
def test_the_selected_weights_are_the_product_and_the_others_lie_beside(
    tmp_path, select, product, beside
):
    state = TrainingState(step=9, epoch=3, best_loss=0.25, best_step=6)
    state.metrics, state.best_weights = {"loss": 0.5}, {"w": torch.full((2,), 2.0)}
    save_training(
        tmp_path / "savi.pt",
        state,
        last_weights={"w": torch.full((2,), 1.0)},
        select=select,
        config=SaviStage(**savi_stage()),
        kind="savi",
        model={},
    )
    other = "best" if select == "last" else "last"
    found = {
        value: read_checkpoint(tmp_path / name, ("savi",))
        for value, name in ((product, "savi.pt"), (beside, f"savi.{other}.pt"))
    }
    for value, checkpoint in found.items():
        assert checkpoint["weights"]["w"].tolist() == [value, value]
    assert (found[1]["step"], found[1]["metrics"]) == (9, {"loss": 0.5})
    assert (found[2]["step"], found[2]["metrics"]) == (6, {"loss": 0.25})


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_named_and_does_not_run(savi, tmp_path, zipped):
    harm = tmp_path / "harm"
    content = torch.load(savi, weights_only=True) | {"config": Payload(harm)}
    armed = tmp_path / "armed.pt"
    if zipped:
        torch.save(content, armed)
    else:
        armed.write_bytes(pickle.dumps({"weights": Payload(harm)}))
    reason = r"holds more than tensors and containers \(posix.mkdir\) and was not loaded"
    with pytest.raises(ValueError, match=reason if zipped else "damaged or no checkpoint"):
        load_savi(armed)
    assert not harm.exists()
    torch.load(armed, weights_only=False) if zipped else pickle.loads(armed.read_bytes())
    assert harm.exists()  # the payload is a live one


def test_bytes_cut_off_anywhere_are_told(savi, tmp_path):
    whole = savi.read_bytes()
    cut = tmp_path / "cut.pt"
    for kept in [0, 1, 3, 100, *range(500, len(whole), len(whole) // 12), len(whole) - 1]:
        cut.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"cut.pt is damaged or no checkpoint: \S"):
            load_savi(cut)


def test_bytes_changed_anywhere_are_told_or_without_effect(savi, tmp_path):
    whole, expected = savi.read_bytes(), load_savi(savi).state_dict()
    rng = np.random.default_rng(0)
    told = untold = 0
    for position in rng.choice(len(whole), 80, replace=False):
        changed = bytearray(whole)
        changed[position] ^= 1 << int(rng.integers(8))
        path = tmp_path / "changed.pt"
        path.write_bytes(bytes(changed))
        try:
            found = load_savi(path).state_dict()
        except ValueError as error:  # an error of any other type fails the test
            told += "changed.pt" in str(error)
        else:
            untold += weights_digest(found) == weights_digest(expected)
    assert told + untold == 80
    assert told > 20  # most bytes are weights, and no weight may change unseen


def test_weights_that_are_not_those_of_the_digest_are_told(savi, tmp_path):
    content = torch.load(savi, weights_only=True)
    next(iter(content["weights"].values())).view(-1)[0] += 1
    torch.save(content, tmp_path / "changed.pt")
    with pytest.raises(ValueError, match=r"changed.pt is damaged: its weights have the digest"):
        load_savi(tmp_path / "changed.pt")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "holds a list, not a dict"),
        ({"model_state_dict": {}}, "is no checkpoint of this project: its format is None"),
        ({"format": "ocvp checkpoint 1"}, "its kind is NoneType, expected str"),
        (
            {"format": "ocvp checkpoint 1", "kind": "savi", "model": {}, "weights": {"a": 1}},
            "its weights_digest is NoneType",
        ),
    ],
)
def test_another_file_of_torch_is_refused(tmp_path, content, reason):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=reason):
        load_savi(tmp_path / "other.pt")


def test_a_missing_file_and_a_zip_of_something_else_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"missing.pt does not exist"):
        read_tensors(tmp_path / "missing.pt")
    with zipfile.ZipFile(tmp_path / "book.pt", "w") as archive:
        archive.writestr("chapter", "text")
    with pytest.raises(ValueError, match=r"book.pt is damaged or no checkpoint"):
        read_tensors(tmp_path / "book.pt")


def test_another_architecture_is_refused(savi, tmp_path):
    predictor = write_predictor(tmp_path / "predictor.pt", savi)
    with pytest.raises(ValueError, match=r"predictor.pt holds a lstm; expected savi"):
        load_savi(predictor)
    with pytest.raises(ValueError, match=r"savi.pt holds a savi; expected lstm or transformer"):
        load_predictor(savi)

    model, arguments = make_savi()
    wider = arguments | {"slot_mlp_dim": 16}
    path = tmp_path / "wider.pt"
    save_checkpoint(path, weights=model.state_dict(), kind="savi", model=wider)
    with pytest.raises(ValueError, match=r"wider.pt does not fit this architecture: corrector.mlp"):
        load_savi(path)
    fewer = {name: value for name, value in model.state_dict().items() if "transition" not in name}
    save_checkpoint(path, weights=fewer, kind="savi", model=arguments)
    with pytest.raises(ValueError, match="has the shape missing"):
        load_savi(path)
    save_checkpoint(
        path, weights=model.state_dict(), kind="savi", model={**arguments, "num_heads": 3}
    )
    with pytest.raises(ValueError, match=r"does not fit this architecture: .*num_heads"):
        load_savi(path)
    save_checkpoint(
        path, weights=model.state_dict(), kind="savi", model={**arguments, "initializer": "magic"}
    )
    with pytest.raises(ValueError, match=r"does not fit this architecture: initializer is 'magic'"):
        load_savi(path)
