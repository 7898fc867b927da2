"""Files of tensors that are damaged, or valid and odd: refused by name, or read as they are."""

import struct
import zipfile

import numpy as np
import pytest
import torch
from published_files import params_of, write_experiment
from tiny import make_savi, write_predictor, write_savi

from ocvp.models.checkpoint import save_checkpoint
from ocvp.models.loading import load_predictor, load_savi
from ocvp.models.tensor_files import read_tensors, save_tensors
from ocvp.published.checkpoints import load_published
from ocvp.published.checkpoints import read_checkpoint as read_published

CONTENT = {"format": "x", "weights": {"a": torch.arange(6.0), "b": torch.ones(2, 2)}, "n": [1, "b"]}
DIRECTORY = b"PK\1\2"  # starts what a zip archive says of a record at its end


@pytest.fixture
def path(tmp_path):
    save_tensors(tmp_path / "model.pt", CONTENT)
    return tmp_path / "model.pt"


def is_content(found):
    weights = found.pop("weights")
    expected = CONTENT["weights"]
    return found == {key: CONTENT[key] for key in ("format", "n")} and all(
        torch.equal(weights[name], expected[name]) for name in expected
    )


def flipped(content, position, bit):
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed)


def test_any_flipped_bit_is_told_or_without_effect(path):
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    directory = range(whole.index(DIRECTORY), len(whole))
    told = []
    for position in [*rng.choice(directory, 100), *rng.choice(len(whole), 100)]:
        path.write_bytes(flipped(whole, position, int(rng.integers(8))))
        try:
            assert is_content(read_tensors(path))
        except ValueError as error:
            told.append(str(error))
    assert 50 < len(told) < 200
    assert all(text.startswith(f"{path} ") and "\n" not in text for text in told)


def test_a_record_that_is_marked_as_a_folder_is_refused(path):
    """torch would leave the tensor as the memory was."""
    whole = path.read_bytes()
    entry = whole.rindex(DIRECTORY, 0, whole.rindex(b"data/0"))
    path.write_bytes(flipped(whole, entry + 38, 4))
    with pytest.raises(
        ValueError, match=r"model\.pt is damaged .* its record '\w+/data/0' is marked"
    ):
        read_tensors(path)


@pytest.mark.parametrize("read", [read_tensors, read_published])
def test_a_flipped_bit_in_a_weight_names_the_record(tmp_path, read):
    path = tmp_path / "model.pth"
    torch.save({"model_state_dict": {"a": torch.full((500,), 1.25)}}, path)
    assert read(path)
    whole = path.read_bytes()
    weight = whole.index(struct.pack("<f", 1.25) * 500) + 4 * 300
    path.write_bytes(flipped(whole, weight + 3, 6))  # 1.25 becomes 4.3e38
    with pytest.raises(ValueError, match=r"model\.pth is damaged .* 'model/data/0' does not match"):
        read(path)


def test_a_file_that_was_saved_without_checksums_is_told_how_to_be_saved(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, tmp_path / "model.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    with pytest.raises(ValueError, match=r"checksum; if .*\.set_crc32_options\(False\), save it"):
        read_tensors(tmp_path / "model.pth")


def test_the_former_format_is_still_read(tmp_path):
    content = {"model_state_dict": CONTENT["weights"]}
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    found = read_published(tmp_path / "old.pth")["model_state_dict"]
    assert all(torch.equal(found[name], tensor) for name, tensor in CONTENT["weights"].items())


def rewritten(path, compression, size=None):
    """Write an archive anew; `size` is then said of its largest record."""
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
        if size:
            max(archive.filelist, key=lambda record: record.file_size).file_size = size
    return path


def test_a_record_that_may_unfold_to_any_size_is_refused(path):
    assert is_content(read_tensors(rewritten(path, zipfile.ZIP_STORED)))
    with pytest.raises(ValueError, match=r"'archive/data\.pkl' is compressed, or is said"):
        read_tensors(rewritten(path, zipfile.ZIP_DEFLATED))


def test_a_record_of_10_terabytes_is_refused(path):
    with pytest.raises(ValueError, match="is said to have 10000000000000 bytes, which the file"):
        read_tensors(rewritten(path, zipfile.ZIP_STORED, 10**13))


# --- tensors that are no plain arrays -------------------------------------------------------------


@pytest.mark.parametrize("where", ["weights", "model_state_dict", "optimizer"])
@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (
            torch.empty(10**6, 10**6, device="meta"),
            r"without values \(meta\), of shape \(1000000, 1",
        ),
        (torch.zeros(1).expand(10**13), r"expanded to the shape \(10000000000000,\)"),
        (torch.zeros(3, 3).to_sparse(), r"torch\.sparse_coo; only plain tensors are read"),
        (torch.zeros(3, dtype=torch.complex64).conj(), r"torch\.complex64; only plain"),
    ],
    ids=["meta", "expanded", "sparse", "complex"],
)
def test_tensors_that_are_no_plain_arrays_are_named(tmp_path, where, tensor, reason):
    torch.save({where: {"state": [0, {"a.weight": tensor}]}}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=rf"odd\.pth: {where}\.state\.1\.a\.weight is {reason}"):
        read_tensors(tmp_path / "odd.pth")


def test_views_and_parameters_are_plain(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    content = {
        "turned": whole.T,
        "part": whole[1:, ::2],
        "own": torch.nn.Parameter(whole),
        "no": whole[:0],
    }
    torch.save(content, tmp_path / "views.pt")
    found = read_tensors(tmp_path / "views.pt")
    assert all(torch.equal(found[name], content[name]) for name in content)


def endless(kind):
    """Return containers that hold themselves, or 2**60 entries in all, or more levels than any."""
    value = []
    if kind == "itself":
        value.append(value)
    for _ in range(60 if kind == "twice" else 0):
        value = [value, value]
    for _ in range(200 if kind == "deep" else 0):
        value = {"in": value}
    return value


@pytest.mark.parametrize("kind", ["itself", "twice", "deep"])
def test_containers_without_end_are_refused(tmp_path, kind):
    torch.save({"config": endless(kind)}, tmp_path / "endless.pt")
    with pytest.raises(ValueError, match=r"endless\.pt holds containers in containers without end"):
        read_tensors(tmp_path / "endless.pt")


# --- checkpoints that say something odd of their model --------------------------------------------


@pytest.mark.parametrize(
    ("entry", "value", "reason"),
    [
        ("config", ["a"], "its config is list, expected dict"),
        ("metrics", 3, "its metrics is int, expected dict"),
        ("seed", "0", "its seed is str, expected int"),
        ("savi_digest", torch.zeros(2), "its savi_digest is Tensor, expected str"),
    ],
)
def test_entries_of_another_type_are_named(tmp_path, entry, value, reason):
    model, arguments = make_savi()
    content = {"kind": "savi", "model": arguments, entry: value}
    save_checkpoint(tmp_path / "odd.pt", weights=model.state_dict(), **content)
    with pytest.raises(ValueError, match=rf"odd\.pt is damaged .*{reason}"):
        load_savi(tmp_path / "odd.pt")


@pytest.mark.parametrize("weights", [{3: torch.ones(1)}, {"a": 1.0}, {"a": [torch.ones(1)]}])
def test_weights_that_are_no_named_tensors_are_refused(tmp_path, weights):
    content = {"format": "ocvp checkpoint 1", "kind": "savi", "model": {}, "weights": weights}
    torch.save({**content, "weights_digest": "0" * 64}, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match=r"of its weights is no named tensor"):
        load_savi(tmp_path / "odd.pt")


ODD = [
    ("slot_dim", 10**9, "slot_dim is 1000000000; at most 4096 is allowed"),
    ("num_slots", 10**12, "num_slots is 1000000000000; at most"),
    ("num_iterations", 10**9, "num_iterations is 1000000000; at most"),
    ("resolution", (10**6, 10**6), r"resolution is \(1000000, 1000000\); at most"),
    ("slot_mlp_dim", 4096, "has the shape"),  # it fits into memory
    ("encoder_channels", [4096, 4096], "its weights would be much larger than those of the file"),
    ("encoder_channels", [4] * 10**5, "its weights would be much larger|has the shape"),
    ("slot_dim", "8", "not all arguments converted"),
    ("slot_dim", None, "unsupported operand"),
    ("transition_heads", 0, "modulo by zero"),
    ("encoder_channels", 8, "has no len"),
    ("colour", "red", "unexpected keyword argument 'colour'"),
    (3, 4, "keywords must be strings"),
]


@pytest.mark.parametrize(("name", "value", "reason"), ODD)
def test_arguments_that_the_weights_do_not_stand_for_are_refused(tmp_path, name, value, reason):
    model, arguments = make_savi()
    odd = arguments | {name: value}
    save_checkpoint(tmp_path / "odd.pt", weights=model.state_dict(), kind="savi", model=odd)
    with pytest.raises(ValueError, match=rf"odd\.pt does not fit this architecture: .*({reason})"):
        load_savi(tmp_path / "odd.pt")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("num_layers", 10**9, "num_layers is 1000000000; at most"),
        ("num_layers", 4096, "does not fit this architecture"),
        ("token_dim", 4096, "its weights would be much larger"),
        ("buffer_size", 10**9, "buffer_size is 1000000000; at most"),
        ("dropout", 7.0, "dropout"),
    ],
)
def test_a_predictor_that_its_weights_do_not_stand_for_is_refused(tmp_path, name, value, reason):
    savi = write_savi(tmp_path / "savi.pt")
    content = torch.load(write_predictor(tmp_path / "p.pt", savi, "ocvp_seq"), weights_only=True)
    content["model"][name] = value
    save_tensors(tmp_path / "odd.pt", content)
    with pytest.raises(ValueError, match=reason):
        load_predictor(tmp_path / "odd.pt")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("slot_dim", 10**9, "cannot be built: slot_dim is 1000000000; at most 4096 is allowed"),
        ("num_channels", [4096, 4096], "cannot be built: its weights would be much larger"),
    ],
)
def test_a_published_model_of_absurd_size_is_not_built(tmp_path, name, value, reason):
    path = write_experiment(tmp_path, "Obj3D/savi")
    params = params_of("Obj3D/savi")
    params["model"]["SAVi"][name] = value
    with pytest.raises(ValueError, match=reason):
        load_published(params, read_published(path))
