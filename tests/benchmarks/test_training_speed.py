"""The benchmark of training speed: both ways do the same work, and what is said of it is right."""

import dataclasses
import json

import pytest
import torch
import training_speed

from speed import sweep, tables, turns
from speed.asking import Measured
from speed.counting import Traffic, count
from speed.data import make_data
from speed.plain_savi import PlainSavi
from speed.plain_work import plain_work_of
from speed.plots import sweep_figure
from speed.subject import Subject, read_subject
from speed.work import Given, work_of

TOLERANCE = 1e-4
STEPS = 3


def without_dropout(subject: Subject) -> Subject:
    """Return a subject whose steps depend on nothing that is drawn, and move the weights far."""
    predictors = {}
    for kind, stage in subject.predictors.items():
        model = stage["model"] | ({} if kind == "lstm" else {"dropout": 0.0, "num_layers": 2})
        training = stage["training"] | {"learning_rate": 1e-2}
        predictors[kind] = stage | {"model": model, "training": training}
    savi = subject.savi | {"training": subject.savi["training"] | {"learning_rate": 1e-2}}
    return dataclasses.replace(subject, predictors=predictors, savi=savi)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return what work on tiny sizes is built from."""
    folder = tmp_path_factory.mktemp("benchmark")
    subject = without_dropout(read_subject("obj3d", "cpu", quick=True))
    subject = subject.resized(num_preds=4, frames=7)  # a rollout that is longer than its window
    make_data(subject, folder, [name for name in tables.WORK if name != "first_step"])
    return Given(subject, folder, torch.device("cpu"))


def test_both_ways_have_gradients_of_the_last_iteration_alone(given):
    training = given.subject.savi["training"] | {"attention_gradient": "last"}
    subject = dataclasses.replace(given.subject, savi=given.subject.savi | {"training": training})
    last = Given(subject, given.folder, given.device)
    ways = work_of(last, "savi"), plain_work_of(last, "savi"), work_of(given, "savi")
    ours, plain, of_all = ([float(work.run()) for _ in range(STEPS)] for work in ways)
    assert ours == pytest.approx(plain, rel=TOLERANCE)
    assert ours != pytest.approx(of_all, rel=TOLERANCE)


def test_pruning_is_not_compared(given):
    savi, model = given.savi()
    with pytest.raises(ValueError, match=r"model\.prune_threshold is 0\.1; no slots are pruned in"):
        PlainSavi(savi, model | {"prune_threshold": 0.1})


def test_an_earlier_version_is_not_asked_for_keys_that_it_may_lack(given):
    assert "attention_gradient" not in given.subject.savi["training"]
    assert "slot_dim" in given.subject.savi["model"]  # what the config says


@pytest.mark.parametrize("name", ["savi", *tables.PREDICTORS])
def test_both_ways_find_the_same_losses_step_after_step(given, name):
    ours, plain = work_of(given, name), plain_work_of(given, name)
    assert ours.check() == pytest.approx(plain.check(), rel=TOLERANCE)
    losses = [[float(work.run()) for _ in range(STEPS)] for work in (ours, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
    assert abs(losses[0][-1] / losses[0][0] - 1) > 20 * TOLERANCE  # the weights have moved


@pytest.mark.parametrize("name", ["extraction", "savi_scores", "predictor_scores", "loader"])
def test_both_ways_find_the_same_results(given, name):
    ours, plain = work_of(given, name), plain_work_of(given, name)
    assert ours.check() == pytest.approx(plain.check(), rel=TOLERANCE)
    assert ours.num_clips == plain.num_clips


def test_slots_start_from_boxes_in_both_ways(tmp_path):
    subject = read_subject("movi_a", "cpu", quick=True)
    make_data(subject, tmp_path, ["savi"])
    given = Given(subject, tmp_path, torch.device("cpu"))
    ours, plain = work_of(given, "savi"), plain_work_of(given, "savi")
    assert ours.check() == pytest.approx(plain.check(), rel=TOLERANCE)


def test_operations_are_those_of_the_layers():
    def work():
        lstm(sequences)
        convolution(frames)
        torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    lstm, sequences = torch.nn.LSTM(8, 16, batch_first=True), torch.randn(2, 3, 8)
    convolution, frames = torch.nn.Conv2d(3, 4, 5, padding=2), torch.randn(2, 3, 6, 7)
    tokens = torch.randn(2, 5, 8)
    of_lstm = 2 * (2 * 3) * (8 + 16) * 4 * 16  # each frame from input and state to four gates
    of_convolution = 2 * (2 * 6 * 7) * 4 * (3 * 5 * 5)
    of_attention = 2 * 2 * (2 * 5 * 5 * 8)
    with torch.no_grad():
        assert count(work)[0] == of_lstm + of_convolution + of_attention


def test_bytes_are_those_that_operators_read_and_write():
    values = torch.ones(10, 4)
    with Traffic() as traffic:
        values.view(40).t()  # nothing is touched
        values + values[:, :1].expand(-1, 4)  # reads 40 and 10 values, writes 40
    assert traffic.num_bytes == 4 * (40 + 10 + 40)


def test_the_exponent_is_that_of_a_power_law():
    assert sweep.exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)
    assert sweep.exponent([16, 32, 64], [5, 5, 5]) == pytest.approx(0)


def result_of(sides):
    """Return a result of one piece of work."""
    work = {"label": "SAVi step, 64 clips of 10 frames", "sides": sides}
    return {
        "work": {"savi": work},
        "ceilings": {"operations": 100e9, "bytes": 10e9},
        "made_by": {"device": {"name": "a CPU"}, "versions": {"torch": "2"}, "git": None},
        **{"config": "obj3d", "num_threads": 2, "rounds": 3, "precision": "float32"},
    }


def test_the_tables_say_what_follows_from_the_measurements():
    ours = Measured([1.0, 1.25, 1.5], int(50e9), int(5e9), int(2e9), int(5e8), 64)
    plain = Measured([2.0, 5.0, 6.0], int(90e9), int(9e9), int(3e9), int(5e8), 64)
    sides = {"here": dataclasses.asdict(ours), "plain": dataclasses.asdict(plain)}
    line = tables.times_line(result_of(sides)["work"]["savi"], "plain")
    assert line.split("frames")[1].split() == [
        *("1.25", "s", "(1.00", "to", "1.50)"),
        *("5.00", "s", "(2.00", "to", "6.00)"),
        *("4.00", "(2.00", "to", "4.00)"),  # the rounds' own ratios: 2, 4 and 4
    ]
    cells = tables.rate_cells(sides["here"], result_of(sides)["ceilings"])
    assert cells == ["51.2", "50", "40", "40.0%", "5", "4", "40.0%", "2000"]
    assert max(map(len, tables.rates_table(result_of(sides)).splitlines())) <= 100
    assert len(line) <= 100 >= len(tables.heading("plain"))


def test_hours_of_a_training_are_those_of_its_steps():
    subject = dataclasses.asdict(read_subject("obj3d", "cuda"))  # the config's own sizes
    side = dataclasses.asdict(Measured([1.0, 0.5, 9.0]))
    result = result_of({"here": side}) | subject | {"other": "plain"}
    # 2,920 videos in batches of 64, and 2,000 epochs; a median of a second a step
    words = tables.hours_table(result).splitlines()[-1].split()
    assert words == ["savi", f"{46 * 2000:,}", f"{46 * 2000 / 3600:.1f}", "not", "measured"]
    result["sizes"]["savi_frames"] = 6
    assert tables.hours_table(result) == ""


def test_what_was_not_measured_is_said():
    sides = {"here": dataclasses.asdict(Measured(reason="no such device"))}
    result = result_of(sides) | {"ceilings": None}
    assert "not measured" in tables.times_line(result["work"]["savi"], "plain")
    assert "not measured" in tables.rates_table(result)
    assert "savi, here: not measured: no such device" in tables.notes(result)
    assert "best rates: not measured" in tables.notes(result)


def test_a_sweep_shows_what_was_measured():
    measured = [Measured([s], peak_bytes=n, bytes_before=0) for s, n in ((1.0, 2), (4.0, 4))]
    axes = {
        "batch": sweep.fitted([1, 2], measured),
        "slots": sweep.fitted([3, 6], [Measured(reason="no such device")] * 2),
    }
    figure = sweep_figure({"sweep": {"savi": axes}})
    lines = [[line.get_ydata().tolist() for line in panel.lines] for panel in figure.axes]
    assert lines == [[[1.0, 4.0]], [], [[2e-6, 4e-6]], []]
    assert "not measured: no such device" in sweep.sweep_table({"sweep": {"savi": axes}})


def test_ways_that_find_different_results_are_not_compared():
    found = {"here": Measured(check=1.0), "plain": Measured(check=1.00005)}
    assert turns.disagreement(found) == ""
    found["plain"].check = 1.01
    assert turns.disagreement(found) == "here 1, plain 1.01"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "nothing"], "nothing.yaml cannot be read as a config"),
        (["--against", "nothing"], "git rev-parse --short --verify nothing"),
        (["--sweep", "--only", "loader"], "--only names loader; with these options and obj3d"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        training_speed.main(["--quick", "--output", str(tmp_path), *options])


@pytest.mark.slow
@pytest.mark.parametrize("against", [[], ["--against", "HEAD"]], ids=["plain", "commit"])
def test_a_rehearsal_measures_everything(against, tmp_path, capsys):
    assert training_speed.main(["--quick", "--output", str(tmp_path), *against]) == 0
    (path,) = tmp_path.glob("*.json")
    result = json.loads(path.read_text())
    assert list(result["work"]) == list(tables.WORK)
    assert {label for work in result["work"].values() for label in work["sides"]} == {
        "here",
        result["other"],
    }
    for name, work in result["work"].items():
        for side in work["sides"].values():
            assert side["reason"] is None
            assert len(side["seconds"]) == result["rounds"]
            if name != "first_step":
                assert side["peak_bytes"] > side["bytes_before"] > 0
                assert side["num_bytes"] > 0
    assert path.with_suffix(".png").stat().st_size > 10_000
    printed = path.with_suffix(".txt").read_text()
    assert printed.splitlines()[-3:] == capsys.readouterr().out.splitlines()[-5:-2]


@pytest.mark.slow
def test_a_rehearsal_of_the_sweep_fits_exponents(tmp_path):
    assert training_speed.main(["--quick", "--sweep", "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "sweep.json").read_text())["sweep"]
    assert {name: list(axes) for name, axes in found.items()} == {
        name: list(axes) for name, axes in sweep.AXES.items()
    }
    for axes in found.values():
        assert all("seconds_exponent" in points for points in axes.values())
