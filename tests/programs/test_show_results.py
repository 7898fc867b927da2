"""The tables of a study on the terminal, and tables that are damaged."""

import pytest
from tiny import assert_one_error, call

from ocvp import show_results
from ocvp.evaluation.tables import COMPARISON_COLUMNS, SUMMARY_COLUMNS


def write(folder, summary, comparisons=""):
    (folder / "summary.csv").write_text(f"{','.join(SUMMARY_COLUMNS)}\n{summary}")
    (folder / "comparisons.csv").write_text(f"{','.join(COMPARISON_COLUMNS)}\n{comparisons}")


def test_means_over_seeds_with_their_deviation(tmp_path, capsys):
    row = "cubes,small,,{seed},decomposition,test,psnr,{value},,,\n"
    rows = [row.format(seed=seed, value=value) for seed, value in enumerate((10.0, 14.0))]
    write(tmp_path, "".join(rows))
    assert call(show_results.main, tmp_path) == 0
    text = capsys.readouterr().out
    assert "Decomposition of cubes (test), mean over seeds" in text
    assert "12 ± 2.8" in text


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff\xfe\x00", b"a,b\n1,2\n", bytes(100)],
    ids=["empty", "no text", "other columns", "zeros"],
)
@pytest.mark.parametrize("name", show_results.TABLES)
def test_a_damaged_table_is_named(tmp_path, capsys, name, damage):
    write(tmp_path, "cubes,small,,0,decomposition,test,psnr,10.0,,,\n")
    (tmp_path / name).write_bytes(damage)
    assert call(show_results.main, tmp_path) == 1
    assert_one_error(capsys.readouterr().err, tmp_path / name, "is damaged", "summarize")


def test_a_number_that_is_none_is_named(tmp_path, capsys):
    write(tmp_path, "cubes,small,,0,decomposition,test,psnr,1x.0,,,\n")
    assert call(show_results.main, tmp_path) == 1
    assert_one_error(capsys.readouterr().err, tmp_path / "summary.csv", "1x.0")
