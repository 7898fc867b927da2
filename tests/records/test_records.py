"""Records: what is written beside a product, and how it is found again."""

import importlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import call, write_savi

from ocvp.config.tree import Figures
from ocvp.models.checkpoint import read_checkpoint
from ocvp.models.tensor_files import read_tensors, save_tensors
from ocvp.records.records import Making, content_digest, find_record, read_record, write_companions
from ocvp.records.rules import stage_digest
from ocvp.runtime.environment import processor_name
from ocvp.runtime.files import companion, file_digest
from ocvp.runtime.program import read_section


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A picture and its animation with a record, made of two files."""
    (tmp_path / "data").mkdir()
    for name in ("data/videos.h5", "data/more.h5", "picture.png", "picture.gif"):
        (tmp_path / name).write_text(name)
    inputs = {"videos": tmp_path / "data/videos.h5", "savi": None}
    inputs["scores"] = [tmp_path / "data/more.h5"]
    making = Making("draw_slots", ["slots", "--output", "picture.png"])
    making.read(inputs)
    (tmp_path / "data/videos.h5").write_text("replaced while it was at work")
    products = [tmp_path / "picture.png", tmp_path / "picture.gif"]
    making.finish(products, Figures(upscale=2), seed=3, seconds=5.0)
    (tmp_path / "data/videos.h5").write_text("data/videos.h5")
    return products[0]


def test_a_record_says_what_made_a_product(product):
    content = json.loads((product.parent / "picture.provenance.json").read_text())
    assert content["rule"] == "draw_slots"
    assert content["program"] == "ocvp.figures"
    assert content["seed"] == 3
    assert content["config"] == Figures(upscale=2).model_dump(mode="json")
    assert content["code"] == stage_digest("draw_slots")
    assert content["seconds"] == 5.0
    assert {"python", "torch", "numpy"} <= content["made_by"]["versions"].keys()
    assert content["made_by"]["device"] == {"type": "cpu", "name": processor_name()}
    assert content["products"] == {
        name: f"sha256:{file_digest(product.parent / name)}"
        for name in ("picture.png", "picture.gif")
    }
    found = [(entry["role"], entry["digest"]) for entry in content["inputs"]]
    folder = product.parent / "data"
    assert found == [
        ("videos", f"sha256:{file_digest(folder / 'videos.h5')}"),
        ("scores", f"sha256:{file_digest(folder / 'more.h5')}"),
    ]


def test_config_and_command_lie_beside_it_too(product):
    assert json.loads((product.parent / "picture.config.json").read_text())["upscale"] == 2
    command = (product.parent / "picture.command.sh").read_text()
    assert "-m ocvp.figures slots --output picture.png" in command


def test_each_product_of_a_record_finds_it_and_no_other_file_does(product):
    for name in ("picture.png", "picture.gif"):
        record = find_record(product.parent / name)
        assert record is not None
        assert record.path.name == "picture.provenance.json"
    assert find_record(product.parent / "data" / "videos.h5") is None
    assert find_record(product.parent / "another.png") is None


# --- figures of models that are replaced ---------------------------------------------------------

CHAIN = Path("results/cubes/small/seed0")


def make(rule, path, **inputs):
    """Write a product with its record, as the program of the rule does."""
    path = CHAIN / path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".pt":
        path.write_text(f"{rule} {path}")
    making = Making(rule, [])
    making.read({role: CHAIN / name for role, name in inputs.items()})
    making.finish([path], Figures(), seed=0)


def make_figures(predictors=("lstm", "ocvp")):
    """Write a chain with all kinds of figures; only the last ones read models through scores."""
    write_savi(CHAIN / "savi.pt", seed=0)
    make("fit_savi", "savi.pt")
    make("draw_slots", "figures/slots.png", savi="savi.pt")
    scores = {}
    for number, name in enumerate(predictors):
        write_savi(CHAIN / name / "predictor.pt", seed=number)  # any weights will do
        make("fit_predictor", f"{name}/predictor.pt", savi="savi.pt")
        scores[name] = f"{name}/evaluation/short.json"
        read = {"savi": "savi.pt", "predictor": f"{name}/predictor.pt"}
        make("score_predictor", scores[name], **read)
        make("draw_rollouts", f"{name}/figures/short_video0.png", **read)
    make("draw_curves", "figures/short_curves.png", **scores)
    make("draw_seed_curves", "../figures/short_curves.png", **scores)


def figures_left():
    return {os.path.relpath(path, CHAIN) for path in CHAIN.parent.rglob("figures/*.png")}


REPLACED = {
    "lstm/predictor.pt": {"figures/slots.png", "ocvp/figures/short_video0.png"},
    "savi.pt": set(),
}


@pytest.mark.parametrize("model", REPLACED)
@pytest.mark.parametrize("rule", ["fit", "import"])
def test_the_figures_of_a_model_that_is_replaced_go_with_it(model, rule, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_figures()
    (CHAIN / "figures/of_mine.png").touch()
    kind = Path(model).stem
    make(f"{rule}_{kind}", model)  # the same weights again
    assert len(figures_left()) == 6
    write_savi(CHAIN / model, seed=7)
    make(f"{rule}_{kind}", model)
    assert figures_left() == REPLACED[model] | {"figures/of_mine.png"}
    records = {str(path.parent.relative_to(CHAIN)) for path in CHAIN.rglob("figures/*.json")}
    assert records == {str(Path(path).parent) for path in REPLACED[model]}
    assert (CHAIN / "lstm/evaluation/short.json").is_file()


def test_a_drawing_removes_what_an_earlier_one_drew_besides(tmp_path):
    pictures = [tmp_path / f"short_video{video}.png" for video in range(12)]
    for number in (12, 2):
        for path in pictures[:number]:
            path.touch()
        Making("draw_rollouts", []).finish(pictures[:number], Figures())
    assert sorted(tmp_path.glob("*.png")) == pictures[:2]


def test_a_record_removes_nothing_outside_its_folder(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "mine.png").touch()
    picture = tmp_path / "figures/slots.png"
    picture.touch()
    Making("draw_slots", []).finish([picture], Figures())
    path = tmp_path / "figures/slots.provenance.json"
    record = json.loads(path.read_text())
    record["products"]["../mine.png"] = "sha256:0"
    path.write_text(json.dumps(record))
    Making("draw_slots", []).finish([picture], Figures())
    assert (tmp_path / "mine.png").exists()


def test_inputs_are_found_where_the_folder_is_moved_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("results/a/in.h5", "results/a/b/out.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    making = Making("draw_slots", [])
    making.read({"videos": Path("results/a/in.h5")})
    making.finish([Path("results/a/b/out.png")], Figures())
    Path("results").rename("moved")
    record = find_record(Path("moved/a/b/out.png"))
    assert record is not None
    assert [path for _, path, _ in record.inputs()] == [Path("moved/a/in.h5")]


def test_of_a_checkpoint_the_weights_count_and_not_its_bytes(tmp_path):
    one, other = write_savi(tmp_path / "one.pt"), write_savi(tmp_path / "other.pt", seed=2)
    digest = read_checkpoint(one, ("savi",))["weights_digest"]
    assert content_digest(one) == f"weights:{digest}"
    assert content_digest(other) != content_digest(one)
    content = read_tensors(one)
    content["weights"]["encoder.mlp.0.bias"] += 1
    save_tensors(one, content)
    with pytest.raises(ValueError, match="is damaged: its weights have the digest"):
        content_digest(one)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "is damaged: format: field required; make its product again"),
        ("[", "cannot be read as JSON"),
        ('{"format": "ocvp provenance 1", "rule": "x"}', "is damaged: program: field required"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, text, message):
    path = tmp_path / "x.provenance.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_record(path)
    assert str(path) in str(error.value)


def test_companions_say_what_made_a_product(tmp_path):
    model, slots = tmp_path / "savi.pt", tmp_path / "slots" / "train.h5"
    assert companion(model, "config.json") == tmp_path / "config.json"
    assert companion(slots, "config.json") == tmp_path / "slots" / "train.config.json"
    settings = Figures(upscale=4)
    words = ["--config", '{"upscale": 4}', "--output", str(slots)]
    write_companions(slots, "ocvp.figures", settings, words)
    written = companion(slots, "config.json")
    assert read_section(Figures, str(written), "--config") == settings
    script = companion(slots, "command.sh").read_text().splitlines()
    assert script[0] == "#!/bin/sh"
    assert shlex.split(script[-1])[1:] == ["-m", "ocvp.figures", *words]


def test_the_command_beside_a_product_makes_it_again(tmp_path):
    prepare_data = importlib.import_module("ocvp.prepare_data")
    config = {"kind": "tabletop", "resolution": [16, 16], "num_frames": 3, "num_objects": [1, 2]}
    config["num_videos"] = {"train": 1, "val": 1, "test": 1}
    chunk, output = tmp_path / "chunk0.h5", tmp_path / "val.h5"
    arguments = ("--config", config, "--dataset", "toy", "--split", "val")
    assert call(prepare_data.main, "chunk", *arguments, "--chunk", 0, "--output", chunk) == 0
    assert call(prepare_data.main, "merge", *arguments, "--chunks", chunk, "--output", output) == 0
    before = output.read_bytes()
    output.unlink()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = tmp_path / "val.command.sh"
    subprocess.run(["sh", script], check=True, env=os.environ | {"PATH": path}, capture_output=True)
    assert output.read_bytes() == before


def test_a_damaged_record_of_another_product_counts_as_none(product):
    (product.parent / "a.provenance.json").write_text("{")
    assert find_record(product.parent / "picture.gif") is not None
    with pytest.raises(ValueError, match=r"a\.provenance\.json cannot be read as JSON"):
        find_record(product.parent / "a.png")
