"""The programs that probe: what they write, and what they refuse."""

import json

import pytest
from tiny import (
    CPU,
    NUM_FRAMES,
    assert_one_error,
    call,
    write_predictor,
    write_random_slots,
    write_savi,
    write_videos,
)

from ocvp import curves, probe_predictor, probe_savi, show_results, summarize
from ocvp.evaluation.score_files import read_score_file
from ocvp.models.checkpoint import read_checkpoint

NUM_VIDEOS = {"train": 6, "test": 12}
PROTOCOL = {"num_context": 3, "num_preds": 4}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A SAVi, a predictor, videos and slots, as the workflow lays them out."""
    folder = tmp_path_factory.mktemp("probed") / "toy/small/seed1"
    savi = write_savi(folder / "savi.pt")
    write_predictor(folder / "lstm/predictor.pt", savi)
    for split, number in NUM_VIDEOS.items():
        write_videos(folder / f"{split}.h5", num_videos=number)
        write_random_slots(folder / "slots" / f"{split}.h5", savi, num_videos=number)
    return folder


def run_savi(chain, folder, **changes):
    files = {
        "savi": chain / "savi.pt",
        "train-videos": chain / "train.h5",
        "train-slots": chain / "slots/train.h5",
        "videos": chain / "test.h5",
        "slots": chain / "slots/test.h5",
        "output": folder / "probe.json",
        "probes": folder / "probe.tensors",
    } | changes
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    config = {"evaluation": {"num_frames": 5}, "num_threads": 1}
    return call(probe_savi.main, "--config", config, "--runtime", CPU, "--seed", 3, *options)


def run_predictor(chain, output, probes, **changes):
    files = {
        "savi": chain / "savi.pt",
        "predictor": chain / "lstm/predictor.pt",
        "probes": probes,
        "videos": chain / "test.h5",
        "slots": chain / "slots/test.h5",
        "output": output,
    }
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    config = {"protocol": PROTOCOL | changes, "num_threads": 1}
    return call(probe_predictor.main, "--config", config, "--runtime", CPU, *options)


@pytest.fixture(scope="module")
def probed(chain):
    """The same chain with its probes."""
    assert run_savi(chain, chain) == 0
    (chain / "lstm/probe").mkdir()
    assert run_predictor(chain, chain / "lstm/probe/short.json", chain / "probe.tensors") == 0
    return chain


NAMES = {
    f"probe_{target}_{kind}" for target in ("position", "velocity") for kind in ("linear", "mlp")
}


def test_scores_of_a_savi_say_what_made_them(probed):
    scores = read_score_file(probed / "probe.json")
    assert (scores["split"], scores["num_frames"], scores["num_videos"]) == ("test", 5, 12)
    assert scores["digests"]["savi"] == read_checkpoint(probed / "savi.pt")["weights_digest"]
    # the squares all move alike, so there is no velocity to tell apart
    undefined = {name for name, entry in scores["metrics"].items() if entry["mean"] is None}
    assert scores["metrics"].keys() == NAMES
    assert undefined == {name for name in NAMES if "velocity" in name}
    entry = scores["metrics"]["probe_position_linear"]
    assert entry["low"] < entry["mean"] < entry["high"]
    assert len(entry["per_frame"]) == 5
    record = json.loads((probed / "probe.provenance.json").read_text())
    assert set(record["products"]) == {"probe.json", "probe.tensors"}
    assert [entry["role"] for entry in record["inputs"]] == [
        *("savi", "train_videos", "train_slots", "videos", "slots")
    ]


def test_the_same_seed_gives_the_same_probes_bit_for_bit(probed, tmp_path):
    assert run_savi(probed, tmp_path) == 0
    for name in ("probe.json", "probe.tensors"):
        assert (tmp_path / name).read_bytes() == (probed / name).read_bytes()


def test_scores_of_a_predictor_stand_beside_copies_and_the_ceiling(probed):
    scores = read_score_file(probed / "lstm/probe/short.json")
    assert scores["protocol"]["num_preds"] == 4
    assert scores["metrics"].keys() == NAMES
    entry = scores["metrics"]["probe_position_mlp"]
    for name in ("per_frame", "copy_last_slots_per_frame", "ceiling_per_frame"):
        assert len(entry[name]) == 4
    assert entry["gain"]["mean"] == pytest.approx(entry["mean"] - entry["copy_last_slots"])


def test_they_are_drawn_and_summarized_and_printed(probed, tmp_path, capsys):
    picture = tmp_path / "short_probe.png"
    scores = probed / "lstm/probe/short.json"
    assert call(curves.main, "probes", "--scores", scores, "--output", picture) == 0
    assert picture.stat().st_size > 1000
    tables = ("--summary", tmp_path / "summary.csv", "--comparisons", tmp_path / "comparisons.csv")
    assert call(summarize.main, probed / "probe.json", scores, *tables) == 0
    capsys.readouterr()
    assert call(show_results.main, tmp_path) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["What", "probes", "read"] in [line[:3] for line in lines]
    models = [line[0] for line in lines if line]
    assert models.index("small,") < models.index("constant") < models.index("lstm,")
    shown = {" ".join(line[:-1]): line[-1] for line in lines if len(line) > 1}
    own = json.loads((probed / "probe.json").read_text())["metrics"]["probe_position_linear"]
    predicted = json.loads(scores.read_text())["metrics"]["probe_position_mlp"]
    for row, value in {
        "small, linear": own["mean"],
        "constant": own["constant"],
        "lstm, mlp": predicted["mean"],
        "ceiling, mlp": predicted["ceiling"],
    }.items():
        assert float(shown[row]) == pytest.approx(value, abs=0.01), row


REFUSED = {
    "without masks": (
        {"train-videos": "plain.h5"},
        "plain.h5 has no masks, so nothing is known of its objects to probe",
    ),
    "slots of other videos": (
        {"train-slots": "slots/test.h5"},
        "holds 12 videos of 8 frames, but the videos are 6",
    ),
    "slots of another SAVi": ({"savi": "other.pt"}, "was made by another SAVi"),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(files, message, chain, tmp_path, capsys):
    write_videos(chain / "plain.h5", num_videos=6, fields=("frames",))
    write_savi(chain / "other.pt", seed=5)
    changes = {option: chain / name for option, name in files.items()}
    assert run_savi(chain, tmp_path, **changes) == 1
    assert_one_error(capsys.readouterr().err, message)
    assert not list(tmp_path.iterdir())


def test_a_predictor_is_probed_with_the_probes_of_its_savi_and_within_the_videos(
    probed, tmp_path, capsys
):
    other = write_savi(tmp_path / "other.pt", seed=5)
    write_random_slots(tmp_path / "train.h5", other, num_videos=6)
    write_random_slots(tmp_path / "test.h5", other, num_videos=12)
    slots = {"train-slots": tmp_path / "train.h5", "slots": tmp_path / "test.h5"}
    assert run_savi(probed, tmp_path, savi=other, **slots) == 0
    output = tmp_path / "short.json"
    assert run_predictor(probed, output, tmp_path / "probe.tensors") == 1
    assert_one_error(capsys.readouterr().err, "was fitted on the slots of another SAVi")
    too_long = {"num_preds": NUM_FRAMES}
    assert run_predictor(probed, output, probed / "probe.tensors", **too_long) == 1
    assert_one_error(capsys.readouterr().err, "have 8 frames")
    assert not output.exists()
