"""The README's opening: made of the demo, between two marks; the picture that it shows."""

import re
from pathlib import Path

import pytest
import readme
from PIL import Image
from tiny import assert_one_error, call

from ocvp.evaluation.tables import COMPARISON_COLUMNS, SUMMARY_COLUMNS

PROJECT = Path(__file__).parents[2]
MAX_BYTES = 300_000


@pytest.fixture
def results(tmp_path):
    """Return the tables and the picture of a demo."""
    folder = tmp_path / "results"
    tables = folder / "studies/demo"
    tables.mkdir(parents=True)
    cells = dict.fromkeys(SUMMARY_COLUMNS, "") | {"dataset": "tabletop", "savi": "savi", "seed": 0}
    lines = [",".join(SUMMARY_COLUMNS)]
    for protocol, predictor, value in (
        *(("decomposition", "", 30.5), ("long", "ocvp_seq", 20.25), ("short", "ocvp_seq", 25.75)),
    ):
        row = {"predictor": predictor, "protocol": protocol, "split": "test", "metric": "psnr"}
        row |= {"value": value, "constant_velocity": 10.5, "is_best": False}
        lines.append(",".join(map(str, (cells | row).values())))
    (tables / "summary.csv").write_text("\n".join(lines) + "\n")
    (tables / "comparisons.csv").write_text(",".join(COMPARISON_COLUMNS) + "\n")
    (folder / "drawn.gif").write_bytes(b"a picture")
    return folder


def test_the_opening_is_replaced_and_nothing_else(results, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"# Title\n\n{readme.START}\n\nof before\n\n{readme.END}\n\nThe rest.\n")
    for _ in range(2):  # once more, and it stays as it is
        assert call(readme.main, results, "--picture", "drawn.gif", "--readme", page) == 0
    text = page.read_text()
    assert text.startswith(f"# Title\n\n{readme.START}\n\n![")
    assert text.endswith(f"{readme.END}\n\nThe rest.\n")
    assert "of before" not in text
    assert "`results/drawn.gif`" in text
    assert [line for line in text.splitlines() if line.startswith("| ") and ":--" not in line] == [
        *("| predictor | psnr ↑ |", "| ocvp_seq | 20.25 |", "| constant_velocity | 10.50 |")
    ]
    assert (tmp_path / readme.PICTURE).read_bytes() == b"a picture"


def test_a_page_without_marks_is_refused(results, tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text("# Title\n")
    assert call(readme.main, results, "--picture", "drawn.gif", "--readme", page) == 1
    assert_one_error(capsys.readouterr().err, readme.START)
    assert not (tmp_path / readme.PICTURE).exists()


def test_the_picture_moves_and_is_small_and_its_command_is_there():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    opening = text.partition(readme.START)[2].partition(readme.END)[0]
    assert re.findall(r"!\[.*\]\((.*)\)", text) == [str(readme.PICTURE)]
    assert str(readme.PICTURE) in opening
    assert (PROJECT / readme.PICTURE).stat().st_size <= MAX_BYTES
    with Image.open(PROJECT / readme.PICTURE) as picture:
        assert picture.n_frames > 10
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"`make ([\w-]+)", readme.START + opening)
    assert {"demo", "shipped"} == set(named)
    assert all(re.search(rf"^{target}: ", makefile, re.MULTILINE) for target in named)
