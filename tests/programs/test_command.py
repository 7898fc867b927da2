"""`ocvp COMMAND`: the programs by their names, and what else is installed beside the package."""

import importlib
import re
import sys
import tomllib
from importlib import resources

import pytest
import torch
from snakemake_runs import PROJECT
from tiny import SIDE, assert_one_error, call, squares, write_predictor, write_savi, write_videos

from ocvp import __main__ as command

SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_installed_command_is_this_one():
    module, _, function = SETTINGS["project"]["scripts"]["ocvp"].partition(":")
    assert getattr(importlib.import_module(module), function) is command.main


def test_it_knows_the_programs_and_no_other_module():
    starts_by_itself = {
        path.stem.replace("_", "-")
        for path in (PROJECT / "ocvp").glob("*.py")
        if "\n    run(main)" in path.read_text(encoding="utf-8")
    }
    programs = command.find_programs()
    assert programs.keys() == starts_by_itself
    assert {"train-savi", "predict"} <= programs.keys()
    assert all(programs.values())


@pytest.mark.parametrize("name", ["show-results", "show_results"])
def test_a_command_is_the_program_with_the_other_words(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ocvp", name, str(tmp_path)])
    assert call(lambda _: command.main()) == 1
    assert_one_error(capsys.readouterr().err, f"{tmp_path}/summary.csv does not exist")
    assert sys.argv[1:] == [str(tmp_path)]  # of which records make their command


def test_help_lists_the_commands_and_an_unknown_one_is_refused(monkeypatch, capsys):
    for words, status in ((["--help"], 0), (["trian-savi"], 2), ([], 2)):
        monkeypatch.setattr(sys, "argv", ["ocvp", *words])
        with pytest.raises(SystemExit) as ending:
            command.main()
        assert ending.value.code == status
    text = capsys.readouterr()
    assert re.search(r"^  train-savi +Train a SAVi: ", text.out, re.MULTILINE)
    assert max(map(len, text.out.splitlines())) <= 100
    assert "COMMAND is trian-savi; allowed are archive, " in text.err


def test_type_checkers_are_told_of_the_annotations():
    assert (resources.files("ocvp") / "py.typed").is_file()
    assert SETTINGS["tool"]["setuptools"]["package-data"]["ocvp"][0] == "py.typed"


def test_the_readme_s_snippet_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chain = tmp_path / "results/tabletop/savi/seed0"
    write_videos("results/tabletop/videos/test.h5", num_videos=1)
    savi = write_savi(chain / "savi.pt", initializer="learned_random")
    write_predictor(chain / "ocvp_seq/predictor.pt", savi, "ocvp_seq", buffer_size=8)
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(snippet, names)
    frames = torch.from_numpy(squares(0)["frames"]).movedim(-1, 1) / 255
    torch.testing.assert_close(names["frames"][0], frames)
    assert names["predicted"].shape == (1, 8, 3, SIDE, SIDE)
    assert names["predicted"].isfinite().all()
