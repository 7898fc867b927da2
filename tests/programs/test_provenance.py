"""The chain from a product to the raw data, of a study that ran for real."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from snakemake_runs import jobs_in
from tiny import assert_one_error, call

from ocvp import prepare_data, provenance
from ocvp.records.chain import chain_of, walk
from ocvp.records.records import find_record

FIGURE = "results/tiny/small/seed1/ocvp_par/figures/short_video1.gif"
SAVI = "results/tiny/small/seed1/savi.pt"


def show(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr of the program."""
    status = call(provenance.main, *arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_every_product_of_the_workflow_says_what_made_it(finished_study):
    for job in jobs_in(finished_study.run.text):
        if job.rule in ("make_chunk", "encode_chunk"):  # deleted after they were joined
            continue
        record = find_record(finished_study.folder / job.output)
        assert record is not None, job
        assert record.content["rule"] == job.rule
        assert record.content["seconds"] >= 0
        of_a_seed = job.rule.startswith(("fit_", "encode_", "score_savi", "draw_slots"))
        assert record.content["seed"] == (1 if of_a_seed else None), job


def test_a_figure_is_followed_to_the_raw_data(copied, capsys):
    status, text, _ = show(capsys, FIGURE)
    assert status == 0
    chain = chain_of(Path(FIGURE))
    folder = "results/tiny/small/seed1"
    assert {str(node.path) for node in walk(chain)} == {
        FIGURE,
        SAVI,
        f"{folder}/ocvp_par/predictor.pt",
        f"{folder}/ocvp_par/evaluation/short.json",
        *(f"{folder}/slots/{split}.h5" for split in ("train", "val", "test")),
        *(f"results/tiny/videos/{split}.h5" for split in ("train", "val", "test")),
    }
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == FIGURE
    assert "made by fit_predictor (python -m ocvp.train_predictor), seed 1" in lines
    assert "raw data: none, 6 videos were simulated" in lines
    assert any(line.startswith("config {") and '"num_steps":4' in line for line in lines)


def test_each_product_of_a_chain_is_shown_once(copied, capsys):
    _, text, _ = show(capsys, "results/summary.csv")
    lines = [line.strip() for line in text.splitlines()]
    first = [line for line in lines if line.startswith("savi: ") and "(see above)" not in line]
    assert first == [f"savi: {SAVI}"]
    assert text.count("made by fit_savi") == 1
    assert text.count("made by score_predictor") == 8


def test_brief_it_is_a_line_for_each_product(copied, capsys):
    status, text, _ = show(capsys, FIGURE, "--brief")
    assert status == 0
    nodes = {str(node.path) for node in walk(chain_of(Path(FIGURE)))}
    lines = text.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(nodes)
    (savi,) = [line for line in lines if line.split()[0] == SAVI]
    found = find_record(Path(SAVI))
    assert found is not None
    digest = found.content["products"]["savi.pt"]
    kind, _, digits = digest.partition(":")
    date = found.content["finished"].partition("T")[0]
    assert savi == f"  {SAVI}  fit_savi, seed 1, {date}, {kind}:{digits[:12]}"


def test_as_json_it_holds_the_records(copied, capsys):
    status, text, _ = show(capsys, FIGURE, "--json")
    assert status == 0
    chain = json.loads(text)
    assert chain["record"]["rule"] == "draw_rollouts"
    savi = next(entry for entry in chain["inputs"] if entry["role"] == "savi")
    assert savi["record"]["config"]["model"]["num_slots"] == 4
    assert savi["fault"] is None


def test_what_is_gone_is_still_told(copied, capsys):
    for path in Path("results/tiny/videos").glob("*.h5"):
        path.unlink()
    status, text, _ = show(capsys, FIGURE, "--verify")
    assert status == 0
    assert "train: results/tiny/videos/train.h5  (gone)" in text
    assert "raw data: none, 6 videos were simulated" in text


def test_a_product_that_was_replaced_breaks_the_chain(copied, capsys):
    path = Path(SAVI).with_name("provenance.json")
    record = json.loads(path.read_text())
    record["products"]["savi.pt"] = "weights:another"
    path.write_text(json.dumps(record))
    status, text, error = show(capsys, FIGURE)
    assert status == 1
    assert f"savi: {SAVI}  (BROKEN: it was replaced after what is made of it)" in text
    assert_one_error(error, "the chain is broken", SAVI)


def test_verify_looks_at_the_content_of_every_file(copied, capsys):
    path = Path("results/tiny/small/seed1/slots/val.h5")
    with path.open("ab") as file:
        file.write(b"more")
    assert show(capsys, FIGURE)[0] == 0
    status, _, error = show(capsys, FIGURE, "--verify")
    assert status == 1
    assert_one_error(error, f"{path}: its content (sha256:", "is not what was recorded")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("results/nothing.png", "results/nothing.png does not exist"),
        ("results/tiny/small/seed1/training.log", "nothing says what made results/tiny/small"),
    ],
)
def test_what_has_no_record_is_an_error(copied, capsys, path, message):
    status, _, error = show(capsys, path)
    assert status == 1
    assert_one_error(error, message)


def test_a_damaged_record_breaks_the_chain_there_and_the_rest_is_shown(copied, capsys):
    Path(SAVI).with_name("provenance.json").write_text("[]")
    status, text, error = show(capsys, FIGURE)
    assert status == 1
    damage = f"BROKEN: {Path(SAVI).parent}/provenance.json is damaged: it holds no mapping"
    assert f"savi: {SAVI}  ({damage}" in text
    assert "made by fit_predictor (python -m ocvp.train_predictor), seed 1" in text
    assert_one_error(error, "the chain is broken", "provenance.json is damaged")


@pytest.fixture
def converted(tmp_path, monkeypatch):
    """Videos that were converted from pictures: the file, and the folder of these."""
    raw, videos = tmp_path / "raw", Path("results/obj3d/videos")
    monkeypatch.chdir(tmp_path)
    for video, frame in itertools.product((1, 2), (1, 2)):
        path = raw / f"val/{video}/test_{frame}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (40 * video, 40 * frame, 0)).save(path)
    config = {"kind": "obj3d", "num_frames": 2, "resolution": [16, 16]}
    names = ("--config", config, "--dataset", "obj3d", "--split", "val", "--root", raw)
    chunk, output = videos / "val/chunk0.h5", videos / "val.h5"
    assert call(prepare_data.main, "chunk", *names, "--chunk", 0, "--output", chunk) == 0
    assert call(prepare_data.main, "merge", *names, "--chunks", chunk, "--output", output) == 0
    return output, raw


def test_verify_looks_at_the_raw_files(converted, capsys):
    output, raw = converted
    assert show(capsys, output, "--verify")[0] == 0
    with (raw / "val/2/test_2.png").open("ab") as file:
        file.write(b"more")
    assert show(capsys, output)[0] == 0
    status, _, error = show(capsys, output, "--verify")
    assert status == 1
    assert_one_error(error, f"{output}: its raw files in {raw} are not what was recorded")
    (raw / "val/2/test_2.png").unlink()
    assert_one_error(show(capsys, output, "--verify")[2], "val/2/test_2.png cannot be read")
    shutil.rmtree(raw)
    assert show(capsys, output, "--verify")[0] == 0, "they may be gone"
