"""Checkpoints: weights come back bit for bit, and what is damaged, foreign or armed is refused."""

import pickle
import time
import zipfile

import numpy as np
import pytest
import torch
from tiny import (
    PREDICTOR_MODELS,
    SLOT_DIM,
    Payload,
    make_savi,
    write_predictor,
    write_savi,
)

from ocvp.models.checkpoint import read_checkpoint, save_checkpoint, weights_digest
from ocvp.models.loading import (
    check_belongs,
    load_predictor,
    load_savi,
    open_predictor,
    open_savi,
    start_from,
)
from ocvp.models.pickle_names import SAFE
from ocvp.models.predictors import PREDICTORS
from ocvp.models.tensor_files import read_tensors
from ocvp.published.checkpoints import read_tensors as read_published_tensors

READERS = [read_tensors, read_published_tensors]


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
    opened = open_predictor(path)
    check_belongs(opened, open_savi(savi))
    assert opened.digest == weights_digest(predictor.state_dict())
    other = write_savi(tmp_path / "other.pt", seed=1)
    with pytest.raises(ValueError, match=r"predictor.pt was trained on another SAVi .* than "):
        check_belongs(opened, open_savi(other))


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


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_named_and_does_not_run(savi, tmp_path, zipped):
    harm = tmp_path / "harm"
    content = torch.load(savi, weights_only=True) | {"config": Payload(harm)}
    armed = tmp_path / "armed.pt"
    if zipped:
        torch.save(content, armed)
    else:
        armed.write_bytes(pickle.dumps({"weights": Payload(harm)}))
    reason = r"armed\.pt asks for posix\.mkdir and was not loaded: .* ocvp\.import_checkpoint"
    with pytest.raises(ValueError, match=reason if zipped else "damaged or no checkpoint"):
        load_savi(armed)
    assert not harm.exists()
    torch.load(armed, weights_only=False) if zipped else pickle.loads(armed.read_bytes())
    assert harm.exists()  # the payload is a live one


def write_pickle(path, instructions):
    """Write a zip archive of torch with a pickle of these instructions, and return its path."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + instructions + b".")
        archive.writestr("archive/version", "3\n")
    return path


def unicode(text):
    """Return the instruction that pushes a text."""
    return b"X" + len(text.encode()).to_bytes(4, "little") + text.encode()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "instructions",
    [
        b"cposix\nmkdir\n(X\x01\0\0\0atR",  # GLOBAL, and REDUCE to call it
        b"(X\x01\0\0\0aiposix\nmkdir\n",  # INST
        b"(cposix\nmkdir\nX\x01\0\0\0ao",  # OBJ
        unicode("posix") + unicode("mkdir") + b"\x93",  # STACK_GLOBAL
        unicode("mkdir") + b"q\x05" + unicode("posix") + b"h\x05\x93",  # one of them from the memo
    ],
)
def test_every_way_to_ask_for_code_is_named(tmp_path, read, instructions):
    path = write_pickle(tmp_path / "armed.pt", instructions)
    with pytest.raises(ValueError, match=r"armed\.pt asks for posix\.mkdir and was not loaded"):
        read(path)


LONG = "a" * 200_000


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("instructions", "reason"),
    [
        (b"cposix\n" + LONG.encode() + b"\n", "a name of 200006 characters, 'posix.aaaa"),
        (f"c{LONG}\nb\n".encode(), "a name of 200002 characters"),
        (unicode("posix") + unicode(LONG) + b"\x93", "a word of 200000 characters, 'aaaa"),
        (unicode(LONG) + b")R", "a word of 200000 characters"),  # the loader quotes what it calls
        (f"c{'ä' * 100_000}\nb\n".encode(), "damaged or no checkpoint: 'ascii' codec"),
    ],
    ids=["name", "module", "stacked", "text", "not ASCII"],
)
def test_absurdly_long_names_are_refused_at_once(tmp_path, read, instructions, reason):
    """torch's loader would search its own message about them for minutes."""
    path = write_pickle(tmp_path / "long.pt", instructions)
    start = time.monotonic()
    with pytest.raises(ValueError, match=reason) as raised:
        read(path)
    assert time.monotonic() - start < 5
    assert len(str(raised.value)) < 600


def test_long_texts_and_names_of_tensors_are_no_reason_to_refuse(tmp_path):
    content = {"note": "some words " * 20_000, "x" * 4000: torch.ones(2)}
    torch.save(content, tmp_path / "long.pt")
    for read in READERS:
        assert read(tmp_path / "long.pt")["note"] == content["note"]


def test_many_names_are_counted_out(tmp_path):
    asked = b"".join(f"cmodule{index}\nname\n".encode() for index in range(9))
    path = write_pickle(tmp_path / "armed.pt", asked)
    with pytest.raises(
        ValueError, match=r"module4\.name, module5\.name, \.\.\. and was not loaded"
    ):
        read_tensors(path)


@pytest.mark.parametrize("read", READERS)
def test_the_reason_of_the_loader_is_told(tmp_path, read):
    path = write_pickle(tmp_path / "old.pt", b"I7\n")  # protocol 0
    with pytest.raises(ValueError, match=r"old\.pt is damaged or no checkpoint: .* operand 73$"):
        read(path)
    torch.save({"epoch": 7}, path, pickle_protocol=4)
    with pytest.raises(ValueError, match=r"no checkpoint: Unsupported operand 149$"):
        read(path)


def test_what_the_loader_allows_is_not_called_unsafe():
    allowed = torch._weights_only_unpickler._get_allowed_globals()
    assert len(allowed) > 100
    assert [name for name in allowed if not SAFE.fullmatch(name)] == []
    for name in ("builtins.eval", "torch.load", "torch.hub.load", "collections.OrderedDict.x"):
        assert not SAFE.fullmatch(name)


def test_the_scan_reads_the_pickle_only(tmp_path):
    """Tensors may be of any size and hold any bytes, also those of a pickle that asks for code."""
    armed = pickle.dumps(Payload(tmp_path / "harm"))
    bytes_of_tensor = torch.frombuffer(bytearray(armed), dtype=torch.uint8)
    torch.save({"bytes": bytes_of_tensor}, tmp_path / "data.pt")
    assert torch.equal(read_tensors(tmp_path / "data.pt")["bytes"], bytes_of_tensor)


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


# --- starting from given weights ---------------------------------------------------------------


def new_predictor(kind, **model):
    """Return a fresh predictor, and the arguments that made it."""
    arguments = {**PREDICTOR_MODELS[kind], **model, "slot_dim": SLOT_DIM}
    return PREDICTORS[kind](**arguments), arguments


@pytest.mark.parametrize(
    "model",
    [
        {"transition": False},
        {"transition_heads": 2},
        {"downsample_encoder": True},
        {"downsample_decoder": False, "decoder_resolution": [16, 16]},
        {"initializer": "centres"},
        {"initializer": "random"},
        {"box_format": "published_pixels"},
        {"absent": "published"},
    ],
    ids=str,
)
def test_a_savi_of_another_function_is_not_a_start(savi, model):
    (key, wanted), *_ = model.items()
    stored = {
        "transition": True,
        "transition_heads": 4,
        "downsample_encoder": False,
        "downsample_decoder": True,
        "initializer": "boxes",
        "box_format": "yxyx_fraction",
        "absent": "learned",
    }
    module, arguments = make_savi(1, **model)
    message = rf"model\.{key} is {wanted!r}, but the weights of .* with {stored[key]!r}; give"
    with pytest.raises(ValueError, match=message):
        start_from(module, savi, "savi", arguments)


@pytest.mark.parametrize(
    ("kind", "key", "stored", "wanted"),
    [
        ("ocvp_seq", "num_heads", 2, 4),
        ("ocvp_seq", "residual", True, False),
        ("lstm", "residual", True, False),
    ],
)
def test_a_predictor_of_another_function_is_not_a_start(savi, tmp_path, kind, key, stored, wanted):
    path = write_predictor(tmp_path / "predictor.pt", savi, kind)
    module, arguments = new_predictor(kind, **{key: wanted})
    message = rf"model\.{key} is {wanted}, but the weights of .*predictor\.pt .* with {stored};"
    with pytest.raises(ValueError, match=message):
        start_from(module, path, kind, arguments)


def test_what_does_not_change_the_function_may_differ(tmp_path):
    path = write_savi(tmp_path / "savi.pt", initializer="learned_random")
    module, arguments = make_savi(
        1,
        initializer="learned_random",
        num_slots=5,
        num_iterations=2,
        num_iterations_first=3,
        resolution=(32, 16),
        decoder_resolution=[16, 8],
        box_format="published_pixels",  # there are no boxes
        absent="published",
    )
    digest = start_from(module, path, "savi", arguments)
    assert digest == weights_digest(module.state_dict())
    assert digest == weights_digest(load_savi(path).state_dict())

    predictor = write_predictor(tmp_path / "predictor.pt", path, "ocvp_seq")
    module, arguments = new_predictor("ocvp_seq", dropout=0.5, buffer_size=7, residual=True)
    digest = start_from(module, predictor, "ocvp_seq", arguments)
    assert digest == weights_digest(module.state_dict())


def test_without_a_transition_its_heads_may_differ(tmp_path):
    path = write_savi(tmp_path / "savi.pt", transition=False)
    module, arguments = make_savi(1, transition=False, transition_heads=3)
    assert start_from(module, path, "savi", arguments) == weights_digest(module.state_dict())


def test_how_many_convolutions_downsample_counts_where_they_do(savi, tmp_path):
    module, arguments = make_savi(1, downsampled_convolutions=1)
    assert start_from(module, savi, "savi", arguments) == weights_digest(module.state_dict())
    path = write_savi(tmp_path / "coarse.pt", downsample_encoder=True, downsampled_convolutions=2)
    module, arguments = make_savi(1, downsample_encoder=True, downsampled_convolutions=1)
    with pytest.raises(ValueError, match=r"model\.downsampled_convolutions is 1, but .* with 2; g"):
        start_from(module, path, "savi", arguments)


@pytest.mark.parametrize("stored", [[], ["flow", "depth"]], ids=["without", "with"])
@pytest.mark.parametrize("wanted", [[], ["depth", "difference"]], ids=["without", "with"])
def test_a_start_may_have_other_targets(tmp_path, stored, wanted):
    path = write_savi(tmp_path / "savi.pt", targets=stored)
    before = load_savi(path).state_dict()
    module, arguments = make_savi(1, targets=wanted)
    fresh = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert start_from(module, path, "savi", arguments) == weights_digest(before)
    for name, tensor in module.state_dict().items():  # depth is of both
        assert torch.equal(tensor, before.get(name, fresh[name])), name
    assert len(module.state_dict()) == len(fresh)


@pytest.mark.parametrize("stored", [None, 0.1])
@pytest.mark.parametrize("wanted", [None, 0.2])
def test_a_start_may_prune_slots_or_not(tmp_path, stored, wanted):
    path = write_savi(tmp_path / "savi.pt", prune_threshold=stored)
    module, arguments = make_savi(1, prune_threshold=wanted)
    assert start_from(module, path, "savi", arguments)
    before = load_savi(path).state_dict()
    assert ("empty_slot" in before) == (stored is not None)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before.get(name, torch.zeros(tensor.shape))), name


def test_weights_of_a_target_must_fit_too(tmp_path):
    path = write_savi(tmp_path / "savi.pt", targets=["depth"])
    content = read_checkpoint(path)
    content["weights"]["decoder.targets.depth.bias"] = torch.zeros(2)
    save_checkpoint(path, **{k: v for k, v in content.items() if k != "weights_digest"})
    module, arguments = make_savi(1, targets=["depth"])
    message = r"decoder\.targets\.depth\.bias has the shape \(2,\), expected \(1,\)"
    with pytest.raises(ValueError, match=message):
        start_from(module, path, "savi", arguments)
    with pytest.raises(ValueError, match=message):
        load_savi(path)


def test_weights_of_another_shape_or_kind_are_not_a_start(savi, tmp_path):
    module, arguments = make_savi(1, slot_mlp_dim=16)
    with pytest.raises(ValueError, match=r"does not fit this architecture: corrector\.mlp"):
        start_from(module, savi, "savi", arguments)
    lstm, arguments = new_predictor("lstm")
    with pytest.raises(ValueError, match=r"savi\.pt holds a savi; expected lstm"):
        start_from(lstm, savi, "lstm", arguments)
