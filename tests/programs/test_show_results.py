"""The tables of a study on the terminal, and tables that are damaged."""

import json
from pathlib import Path

import pytest
from tiny import assert_one_error, call

from ocvp import show_results
from ocvp.evaluation.metrics import BASELINES, METRICS
from ocvp.evaluation.perceptual import MISSING
from ocvp.evaluation.result_tables import GAINS
from ocvp.evaluation.tables import BOUNDS, COMPARISON_COLUMNS, SUMMARY_COLUMNS


def write(folder, summary, comparisons=""):
    (folder / "summary.csv").write_text(f"{','.join(SUMMARY_COLUMNS)}\n{summary}")
    (folder / "comparisons.csv").write_text(f"{','.join(COMPARISON_COLUMNS)}\n{comparisons}")


def row(metric="psnr", value="", seed=0, predictor="", **values):
    """Return a line of scores: of the SAVi, or of a predictor."""
    names = {"dataset": "cubes", "savi": "small", "predictor": predictor, "seed": seed}
    names |= {"protocol": "short" if predictor else "decomposition", "split": "test"}
    cells = dict.fromkeys(SUMMARY_COLUMNS, "") | {"is_best": False}
    cells |= names | {"metric": metric, "value": value} | values
    return ",".join(map(str, cells.values())) + "\n"


def show(capsys, *arguments):
    assert call(show_results.main, *arguments) == 0
    return capsys.readouterr().out


def test_means_over_seeds_with_their_deviation(tmp_path, capsys):
    write(tmp_path, row(seed=0, value=10.0) + row(seed=1, value=14.0))
    text = show(capsys, tmp_path)
    assert "Decomposition of cubes (test), mean ± standard deviation over 2 seeds" in text
    assert "12.00 ± 2.83" in text
    assert r"small & 12.00 $\pm$ 2.83 \\" in show(capsys, tmp_path, "--latex").splitlines()
    assert "| small | 12.00 ± 2.83 |" in show(capsys, tmp_path, "--markdown").splitlines()


def test_directions_are_marked_and_the_best_where_each_seed_says_so(tmp_path, capsys):
    rows = [
        row("psnr", 20.5, seed, "lstm", is_best=seed == 0) + row("slot_mse", 0.03, seed, "lstm")
        for seed in (0, 1)
    ]
    rows += [
        row("psnr", 20.0, seed, "ocvp") + row("slot_mse", 0.0125, seed, "ocvp", is_best=True)
        for seed in (0, 1)
    ]
    write(tmp_path, "".join(rows))
    lines = [line.split() for line in show(capsys, tmp_path).splitlines()]
    assert ["predictor", "psnr", "↑", "slot_mse", "↓"] in lines
    assert ["lstm", "20.50", "±", "0.00", "0.03000", "±", "0.00000"] in lines
    assert ["ocvp", "20.00", "±", "0.00", "0.01250", "±", "0.00000*"] in lines


def test_each_column_and_row_is_explained_in_one_line(tmp_path, capsys):
    values = dict.fromkeys(BASELINES, 0.25)
    rows = [row(metric, 0.5, predictor="lstm", **values) for metric in METRICS]
    write(tmp_path, "".join(rows), compared("lstm", gain_mean="0.5", reason="too few"))
    lines = show(capsys, tmp_path).splitlines()
    # the path of a folder may be as long as it is
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 100
    for name, metric in METRICS.items():
        assert [line for line in lines if line.endswith(f"  {metric.meaning}")], name
        assert len(metric.meaning) <= 68, name
    for name, meaning in BASELINES.items():
        assert [line.split() for line in lines].count([name, *meaning.split()]) == 1
    for heading, meaning in GAINS.values():
        assert [line.split() for line in lines].count([*heading.split(), *meaning.split()]) == 1


def test_why_nothing_is_scored_is_one_line(tmp_path, capsys):
    missing = {"reason": MISSING}
    rows = [row("psnr", 20.0), row("lpips_alex", **missing), row("lpips_vgg", **missing)]
    write(tmp_path, "".join(rows))
    assert [line for line in show(capsys, tmp_path).splitlines() if "lpips" in line] == [
        f"not scored: lpips_alex, lpips_vgg: {MISSING}"
    ]
    assert "make lpips-weights" in MISSING


def test_brief_shows_the_main_metrics_alone(tmp_path, capsys):
    write(tmp_path, "".join(row(name, 0.5) for name in METRICS), compared("lstm", gain_mean="1"))
    text = show(capsys, tmp_path, "--brief")
    assert {name for name in METRICS if f"{name} " in text} == {
        *("psnr", "ssim", "lpips_alex", "fg_ari_clip", "miou", "centre_error")
    }
    assert "Gains" not in text


def compared(predictor, **values):
    """Return a line of comparisons."""
    row = dict.fromkeys(COMPARISON_COLUMNS, "") | {"dataset": "cubes", "savi": "small"}
    row |= {"predictor": predictor, "seed": "0", "protocol": "short", "split": "test"}
    row |= {"subset": "moving", "num_videos": "12", "metric": "miou", "value": "0.5"}
    return ",".join((row | values).values()) + "\n"


def test_what_has_no_interval_is_a_dash_with_its_reason_below(tmp_path, capsys):
    gain = {"gain_mean": "0.25", "gain_low": "0.125", "gain_high": "0.375"}
    over = {f"beyond_half_gap_{bound}": "0.5" for bound in BOUNDS} | {"gap_closed": "0.75"}
    rows = [
        compared("lstm", **gain, **over),
        compared("ocvp_seq", **gain, reason="no gap"),
        compared("ocvp_par", gain_mean="0.5", reason="too few"),
        compared("transformer", gain_mean="0.5", reason="no gap; too few"),
    ]
    summary = row("miou", 0.5, 0, "lstm", copy_last_slots=0.1, constant_velocity=0.2, ceiling=0.9)
    write(tmp_path, summary, "".join(rows))
    assert call(show_results.main, tmp_path) == 0
    text = capsys.readouterr().out
    assert "Gains on cubes (test) with small, protocol short" in text
    lines = [line.split() for line in text.splitlines()]
    interval = ["0.25", "[0.12,", "0.38]"]
    assert ["lstm", "miou", "↑", "12", "75%*", *interval, "-"] in lines
    assert ["ocvp_seq", "miou", "↑", "12", "-", *interval, "-"] in lines
    assert ["ocvp_par", "miou", "↑", "12", "-", "0.5", "-", "-"] in lines
    assert "- no gap; too few" in text.splitlines()
    # and the baselines are rows of their own
    assert ["constant_velocity", "0.2000"] in lines
    assert "ceiling            SAVi's own slots of the true future, decoded; it is no bound" in text


def test_a_table_without_any_value_is_left_out(tmp_path, capsys):
    """As of probes that nothing could be read by."""
    summary = row(value=10.0)
    for metric in ("probe_velocity_linear", "miou"):
        summary += row(metric, dataset="balls") + row(metric, predictor="lstm", dataset="balls")
    write(tmp_path, summary)
    assert call(show_results.main, tmp_path) == 0
    text = capsys.readouterr().out
    assert "Decomposition of cubes (test)" in text
    assert "Empty DataFrame" not in text
    assert not [word for word in ("balls", "probes", "ceiling") if word in text]


STUDIES = {"": 10.0, "studies/first": 20.0, "studies/second": 10.0}


def write_studies(folder):
    """Write two studies, the second one run last; a row tells their tables apart."""
    for path, value in STUDIES.items():
        (folder / path).mkdir(parents=True, exist_ok=True)
        row = f"cubes,{Path(path).name or 'second'},,0,decomposition,test,psnr,{value},,,,,\n"
        write(folder / path, row)
        name = Path(path).name or "second"
        (folder / path / "summary.config.json").write_text(json.dumps({"name": name}))


@pytest.mark.parametrize(
    ("options", "names", "values"),
    [
        ((), ["second"], ["10.00"]),
        (("--study", "first"), ["first"], ["20.00"]),
        (("--all",), ["first", "second"], ["20.00", "10.00"]),
    ],
)
def test_the_last_study_or_a_named_one_or_all(tmp_path, capsys, options, names, values):
    write_studies(tmp_path)
    assert call(show_results.main, tmp_path, *options) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines if line[:1] == ["Study"]] == names
    rows = [line for line in lines if line[:1] in (["first"], ["second"])]
    assert rows == [list(row) for row in zip(names, values, strict=True)]


def test_a_study_that_is_not_there_is_refused_with_those_that_are(tmp_path, capsys):
    write_studies(tmp_path)
    assert call(show_results.main, tmp_path, "--study", "third") == 1
    assert_one_error(capsys.readouterr().err, "--study is third", "are: first, second")


def test_tables_from_before_studies_had_names_are_shown(tmp_path, capsys):
    write(tmp_path, "cubes,small,,0,decomposition,test,psnr,10.0,,,,,\n")
    assert call(show_results.main, tmp_path, "--all") == 0
    text = capsys.readouterr().out
    assert "Decomposition of cubes" in text
    assert "Study" not in text


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff\xfe\x00", b"a,b\n1,2\n", bytes(100)],
    ids=["empty", "no text", "other columns", "zeros"],
)
@pytest.mark.parametrize("name", show_results.TABLES)
def test_a_damaged_table_is_named(tmp_path, capsys, name, damage):
    write(tmp_path, row(value=10.0))
    (tmp_path / name).write_bytes(damage)
    assert call(show_results.main, tmp_path) == 1
    assert_one_error(capsys.readouterr().err, tmp_path / name, "is damaged", "summarize")


def test_a_number_that_is_none_is_named(tmp_path, capsys):
    write(tmp_path, row(value="1x.0"))
    assert call(show_results.main, tmp_path) == 1
    assert_one_error(capsys.readouterr().err, tmp_path / "summary.csv", "1x.0")
