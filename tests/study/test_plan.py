"""What is told before a run: jobs, time from earlier runs, disk."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.data.raw_files import Listing
from ocvp.study.plan import (
    Job,
    check_folder,
    describe,
    estimate_bytes,
    estimate_seconds,
    python_command,
    set_paths,
    show,
)

TESTS = Path(__file__).parents[1] / "helpers"
TRAINING = {"dataset": "tiny", "savi": "small", "seed": "1", "predictor": "lstm"}


CONFIG = read_config(yaml.safe_load((TESTS / "tiny.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def config() -> Config:
    return CONFIG


def listings(dataset: str, split: str) -> Listing:
    return Listing({"train": 6, "val": 3, "test": 4}[split], "")


def job(rule: str, threads: int = 1, benchmark: str = "", **wildcards: str) -> Job:
    return Job(rule, wildcards, threads, Path(benchmark) if benchmark else None)


def write_benchmark(folder: Path, path: str, *seconds: float | str) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = ["s\th:m:s\tmax_rss", *(f"{value}\t0:00:01\t10" for value in seconds)]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- time ---------------------------------------------------------------------------------------


def test_without_an_earlier_run_the_time_is_not_known(tmp_path):
    assert estimate_seconds([job("fit_savi")], tmp_path, cores=2) == (None, ["fit_savi"])


def test_a_job_takes_as_long_as_when_it_last_ran(tmp_path):
    write_benchmark(tmp_path, "logs/a/fit_savi.tsv", 100)
    write_benchmark(tmp_path, "logs/b/fit_savi.tsv", 300)
    jobs = [job("fit_savi", 2, "logs/a/fit_savi.tsv"), job("fit_savi", 2, "logs/b/fit_savi.tsv")]
    assert estimate_seconds(jobs, tmp_path, cores=2) == (400, [])


def test_a_training_takes_as_long_as_all_its_sessions(tmp_path):
    """Its benchmark is the last session's, or that of writing its results again."""
    write_benchmark(tmp_path, "logs/results/a/savi.pt/fit_savi.tsv", 4)
    (tmp_path / "results/a").mkdir(parents=True)
    (tmp_path / "results/a/training_time.json").write_text('{"seconds": 3000.0, "steps": 5}')
    jobs = [job("fit_savi", 2, "logs/results/a/savi.pt/fit_savi.tsv")]
    assert estimate_seconds(jobs, tmp_path, cores=2) == (3000, [])


def test_a_new_job_takes_as_long_as_its_rule_on_average(tmp_path):
    write_benchmark(tmp_path, "logs/a/fit_savi.tsv", 100)
    write_benchmark(tmp_path, "logs/b/fit_savi.tsv", 300)
    jobs = [job("fit_savi", 2, "logs/c/fit_savi.tsv"), job("summarize")]
    assert estimate_seconds(jobs, tmp_path, cores=2) == (200, ["summarize"])


def test_cores_are_shared(tmp_path):
    write_benchmark(tmp_path, "logs/a/draw_slots.tsv", 60)
    jobs = [job("draw_slots", 1, "logs/a/draw_slots.tsv") for _ in range(4)]
    assert estimate_seconds(jobs, tmp_path, cores=4) == (60, [])
    assert estimate_seconds(jobs, tmp_path, cores=1) == (240, [])


@pytest.mark.parametrize("value", ["-", "NA"])
def test_a_damaged_benchmark_is_none(tmp_path, value):
    write_benchmark(tmp_path, "logs/a/fit_savi.tsv", value)
    (tmp_path / "logs" / "b").mkdir()
    (tmp_path / "logs" / "b" / "fit_savi.tsv").write_text("", encoding="utf-8")
    jobs = [job("fit_savi", 1, "logs/a/fit_savi.tsv"), job("fit_savi", 1, "logs/b/fit_savi.tsv")]
    assert estimate_seconds(jobs, tmp_path, cores=1) == (None, ["fit_savi"])


# --- disk ---------------------------------------------------------------------------------------


def test_slots_take_four_bytes_a_number(config):
    # Four videos of 8 frames of 4 slots of 16 numbers.
    jobs = [job("encode_slots", dataset="tiny", savi="small", split="test")]
    assert estimate_bytes(jobs, config, listings) == 4 * (4 * 8 * 4 * 16)


def test_videos_take_at_least_their_frames_and_annotations(config):
    pixels = 6 * 8 * 16 * 16
    found = estimate_bytes([job("make_videos", dataset="tiny", split="train")], config, listings)
    # Three bytes of colour, eight of flow, four of depth, and a little for the masks.
    assert 15 * pixels < found < 16 * pixels
    both = config.datasets["tiny"].model_copy(update={"fields": ("flow", "backward_flow")})
    config = config.model_copy(update={"datasets": {"tiny": both}})
    found = estimate_bytes([job("make_videos", dataset="tiny", split="train")], config, listings)
    assert 19 * pixels < found < 20 * pixels


def test_a_part_holds_no_more_videos_than_its_split(config):
    split = estimate_bytes([job("make_videos", dataset="tiny", split="test")], config, listings)
    part = estimate_bytes(
        [job("make_chunk", dataset="tiny", split="test", chunk="0")], config, listings
    )
    assert part == split  # four videos, and four are a part
    train = estimate_bytes([job("make_videos", dataset="tiny", split="train")], config, listings)
    part = estimate_bytes(
        [job("make_chunk", dataset="tiny", split="train", chunk="0")], config, listings
    )
    assert part == pytest.approx(train * 4 / 6)


def test_trainings_count_each(config):
    one = estimate_bytes([job("fit_savi", **TRAINING)], config, listings)
    assert one > 1e6
    both = [job("fit_savi", **TRAINING), job("fit_predictor", **TRAINING)]
    assert estimate_bytes(both, config, listings) == 2 * one
    assert estimate_bytes([job("summarize"), job("draw_slots")], config, listings) == 0


# --- text ---------------------------------------------------------------------------------------


def test_the_plan_of_a_first_run(config, tmp_path):
    # In the order of the stages, whatever that of Snakemake's set of jobs.
    jobs = [job("draw_slots"), job("fit_savi", **TRAINING), job("draw_slots")]
    text = describe(jobs, ["all"], config, listings, tmp_path, cores=2)
    assert "This run: 4 jobs (fit_savi, 2 draw_slots, all)." in text
    assert "Time: not known before a first run." in text
    assert f"are free in {tmp_path}." in text
    assert "WARNING" not in text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(80, "about 80 seconds"), (600, "about 10 minutes"), (9000, "about 2.5 hours")],
)
def test_the_plan_of_a_later_run(config, tmp_path, seconds, expected):
    write_benchmark(tmp_path, "logs/a/fit_savi.tsv", seconds)
    jobs = [job("fit_savi", 2, "logs/a/fit_savi.tsv", **TRAINING), job("summarize")]
    text = describe(jobs, [], config, listings, tmp_path, cores=2)
    assert f"Time, from earlier runs: {expected}, and summarize, never run so far." in text


def test_a_disk_that_is_too_small_is_told(config, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    text = describe([job("fit_savi", **TRAINING)], [], config, listings, tmp_path, cores=2)
    assert "WARNING: the disk will be full before this run ends." in text


def test_fewer_rollouts_than_asked_for_are_told_once():
    asked = CONFIG.model_copy(
        update={"figures": CONFIG.figures.model_copy(update={"num_videos": 5})}
    )
    jobs = [job("draw_rollouts", **TRAINING)] * 2
    text = describe(jobs, [], asked, listings, Path.cwd(), cores=2)  # of val there are 3 videos
    assert text.count("Rollouts: 3, not 5: a scored split holds no more videos.") == 1
    assert "Rollouts" not in describe(jobs, [], CONFIG, listings, Path.cwd(), cores=2)
    assert "Rollouts" not in describe([job("summarize")], [], asked, listings, Path.cwd(), cores=2)


def test_jobs_run_the_python_of_the_workflow(monkeypatch):
    monkeypatch.setenv("PATH", "/somewhere")
    set_paths()
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/somewhere"]


@pytest.mark.parametrize("more", ["", ":", ":{folder}", "{folder}::"])
def test_jobs_import_nothing_from_the_folder_that_they_run_in(monkeypatch, tmp_path, more):
    """Neither where PYTHONPATH is as of `PYTHONPATH=$PYTHONPATH:/folder` with none before."""
    results, folder = tmp_path / "results of mine", tmp_path / "folder"
    for place, name in ((results, "statistics"), (results, "ocvp"), (folder, "more")):
        place.mkdir(exist_ok=True)
        (place / f"{name}.py").write_text("print('imported', __file__)")
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("PYTHONPATH", more.format(folder=folder))
    set_paths()
    code = "import importlib.util as u, statistics; print(u.find_spec('ocvp').origin); import more"
    command = f"{python_command()} -c {shlex.quote(code)}"
    found = subprocess.run(command, shell=True, cwd=results, capture_output=True, text=True)
    lines = found.stdout.splitlines()
    assert lines[0] == str(Path(__file__).parents[2] / "ocvp" / "__init__.py")
    assert lines[1:] == ([f"imported {folder / 'more.py'}"] if "folder" in more else [])


@pytest.mark.parametrize(("name", "found"), [("a:b", ":"), ("a{b}", "{ and no }")])
def test_a_folder_that_jobs_cannot_be_told_is_refused(name, found):
    check_folder(Path("/home/it's a & b; $c"))
    with pytest.raises(ValueError, match=f"the project lies in /home/{name}, but .* no {found}$"):
        check_folder(Path("/home", name))


@pytest.mark.parametrize(("cores", "nodes", "shared"), [(4, None, 4), (None, 100, 100)])
def test_on_a_cluster_jobs_at_once_stand_for_cores(cores, nodes, shared, config, capsys, tmp_path):
    """Snakemake's own `workflow.cores` is an error there."""
    write_benchmark(tmp_path, "logs/results/a.json/score_savi.tsv", 100 * shared)
    planned = SimpleNamespace(
        benchmark="logs/results/a.json/score_savi.tsv", wildcards_dict={}, threads=1
    )
    workflow = SimpleNamespace(
        resource_settings=SimpleNamespace(cores=cores, nodes=nodes),
        dag=SimpleNamespace(needrun_jobs=lambda: [planned]),
    )
    with contextlib.chdir(tmp_path):
        show(workflow, config, listings)
    assert "Time, from earlier runs: about 2 minutes." in capsys.readouterr().err
