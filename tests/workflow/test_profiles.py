"""Profiles: keys that Snakemake knows, what holds where, and what rules leave to them."""

import re
import runpy
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY
from snakemake_runs import PROJECT, Run, Step, run_snakemake, steps_in

from ocvp.records.rules import RULES

PROFILES = PROJECT / "profiles"
MIN_JOB_AGE = 300
"""Seconds for which Slurm remembers ended jobs, where a cluster does not say otherwise."""

FILES = sorted((PROJECT / "workflow" / "rules").glob("*.smk"))


def read_profile(name: str) -> dict[str, Any]:
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text(encoding="utf-8"))


def dry_run(folder: Path, profile: Path, study: Path = TINY) -> Run:
    """Dry-run a study under a profile, on a machine without Slurm."""
    path = Path(sys.executable).parent
    return run_snakemake(
        *("--dry-run", "--profile", profile, "--configfile", study),
        folder=folder,
        environment={"PATH": str(path)},
        read=PROJECT,
    )


@pytest.mark.parametrize("name", sorted(path.name for path in PROFILES.iterdir()))
def test_a_profile_is_accepted_together_with_the_default_one(tmp_path: Path, name: str) -> None:
    assert isinstance(read_profile(name), dict)
    run = dry_run(tmp_path, PROFILES / name)
    assert run.status == 0, run.text
    assert f"Using profiles {PROFILES / name} and workflow specific profile" in run.text
    assert "summarize" in run.text


def test_a_misspelt_key_of_a_profile_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(PROFILES / "slurm", tmp_path / "slurm")
    config = tmp_path / "slurm" / "config.yaml"
    config.write_text(config.read_text().replace("slurm-status-command", "slurm-status-comand"))
    run = dry_run(tmp_path, tmp_path / "slurm")
    assert run.status != 0
    assert "slurm-status-comand" in run.text


def parsed(*arguments: str | Path) -> Any:
    """Return Snakemake's settings under a command line."""
    from snakemake.cli import parse_args

    return parse_args([str(argument) for argument in arguments])[1]


def test_both_profiles_hold_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake looks for profiles/default beside the Snakefile, not in the results' folder."""
    monkeypatch.chdir(tmp_path)
    named = ("--snakefile", PROJECT / "Snakefile", "--profile", PROFILES / "slurm")
    settings = parsed(*named, "--directory", tmp_path / "elsewhere")
    assert settings.executor == "slurm"
    assert settings.slurm_status_command == "squeue"
    assert settings.retries == read_profile("slurm")["retries"]
    assert settings.rerun_incomplete
    assert settings.show_failed_logs
    assert parsed(*named, "--retries", "0").retries == 0


def test_where_both_name_a_key_the_default_profile_wins(tmp_path: Path) -> None:
    """So says the head of each profile; and none of them has a key without effect."""
    for name, seconds in {"default": 11, "mine": 12}.items():
        folder = tmp_path / "profiles" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"latency-wait: {seconds}\n", encoding="utf-8")
    (tmp_path / "Snakefile").touch()
    named = ("--snakefile", tmp_path / "Snakefile", "--profile", tmp_path / "profiles" / "mine")
    default = ("--workflow-profile", tmp_path / "profiles" / "default")
    assert parsed(*named, *default).latency_wait == 11
    assert parsed(*named, *default, "--latency-wait", "13").latency_wait == 13
    for name in ("slurm", "workstation"):
        assert not read_profile(name).keys() & read_profile("default").keys()


def test_the_workstation_bounds_gpus_and_memory() -> None:
    settings = parsed("--snakefile", PROJECT / "Snakefile", "--profile", PROFILES / "workstation")
    bounds = settings.resources
    assert bounds["gpu"].value == 1
    assert bounds["mem_mb"].value >= 500, "what the machine has"


def test_slurm_remembers_ended_jobs_for_long_enough() -> None:
    """The plugin goes over to sacct, which may wait for ever, where it does not."""
    seconds = read_profile("slurm")["slurm-init-seconds-before-status-checks"]
    assert 3 * seconds <= MIN_JOB_AGE


# --- groups ---------------------------------------------------------------------------------------

LONG = ("fit_savi", "fit_predictor")
OF_THE_STUDY = ("make_page", "summarize", "collect_training_time")
PREDICTOR = "results/tiny/small/seed{}/{}/predictor.pt"
ALONE = {*LONG, "import_savi", "import_predictor", *OF_THE_STUDY}


def submissions_in(text: str) -> list[list[Step]]:
    """Return the jobs that a dry run announces, those of a group together."""
    blocks = re.split(r"^\[.*?\] ?", text, flags=re.MULTILINE)
    # Jobs of a group are indented.
    jobs = [steps_in(re.sub(r"^    (?=    |rule )", "", b, flags=re.MULTILINE)) for b in blocks]
    return list(filter(None, jobs))


def trainings_before(submissions: list[list[Step]]) -> dict[str, set[str]]:
    """Return, for each training, those that must have ended before it starts."""
    maker = {path: jobs for jobs in submissions for step in jobs for path in step.outputs}

    def before(jobs: list[Step]) -> Iterator[str]:
        own = {path for step in jobs for path in step.outputs}
        for path in {path for step in jobs for path in step.inputs if path} - own:
            yield from (step.job.output for step in maker[path] if step.job.rule in LONG)
            yield from before(maker[path])

    return {
        step.job.output: set(before(jobs))
        for jobs in submissions
        for step in jobs
        if step.job.rule in LONG
    }


def test_each_rule_is_in_a_group_or_has_a_reason_not_to_be() -> None:
    profile = read_profile("slurm")
    assert profile["groups"].keys() == RULES.keys() - ALONE
    assert set(profile["groups"].values()) == profile["group-components"].keys()
    for group in profile["group-components"]:
        # Names have no dots but in the values of a grid: no two chains have the same group.
        assert re.fullmatch(r"seeds|\w+\.\{dataset\}(\.\{savi\}\.\{seed\})?", group)


def test_members_of_a_group_take_turns_and_groups_do_not() -> None:
    """One node for all jobs of a group together, and for each of all groups."""
    settings = parsed("--snakefile", PROJECT / "Snakefile", "--profile", PROFILES / "slurm")
    assert settings.resources["nodes"].value == 1
    assert dict(settings.set_resource_scopes) == {"nodes": "local"}


def test_groups_let_no_training_wait_for_another_one_and_leave_few_jobs(tmp_path: Path) -> None:
    study = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    study["predictors"]["lstm"]["start_from"] = "results/tiny/small/seed2/ocvp_seq/predictor.pt"
    study["savi"]["small"]["extraction"]["videos_per_chunk"] = 100
    study["study"]["seeds"] = [1, 2]
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    run = dry_run(tmp_path, PROFILES / "slurm", path)
    assert run.status == 0, run.text
    grouped = submissions_in(run.text)
    before = trainings_before(grouped)
    assert before == trainings_before([[step] for jobs in grouped for step in jobs])
    assert before[PREDICTOR.format(1, "ocvp_seq")] == {"results/tiny/small/seed1/savi.pt"}
    assert PREDICTOR.format(2, "ocvp_seq") in before[PREDICTOR.format(1, "lstm")]

    # Five trainings, slots, what the SAVi is worth, what the predictors are: of a thousand jobs
    # fewer than three hundred (8 / 30).
    of_a_seed = [jobs for jobs in grouped if "/seed1/" in jobs[0].job.output]
    assert (len(of_a_seed), sum(len(jobs) for jobs in of_a_seed)) == (8, 30)


@pytest.mark.slow
def test_a_study_of_a_thousand_jobs_submits_fewer_than_three_hundred(tmp_path: Path) -> None:
    """It is that of the benchmark: 36 SAVis with four predictors each, two protocols."""
    study = runpy.run_path(str(PROJECT / "benchmarks" / "workflow_speed.py"))["study"](1000)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    submissions = submissions_in(
        dry_run(tmp_path, PROFILES / "slurm", tmp_path / "study.yaml").text
    )
    assert sum(len(jobs) for jobs in submissions) >= 1000
    assert len(submissions) < 300
    trainings = Counter(step.job.rule for jobs in submissions for step in jobs)
    assert sum(trainings[rule] for rule in LONG) == 180


def rule_blocks() -> dict[str, str]:
    """Return the text of every rule that runs a program."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    blocks = re.findall(r"^rule (\w+):\n((?:[ \t].*\n|\n)+)", text, re.MULTILINE)
    return {name: block for name, block in blocks if "shell:" in block}


def test_every_rule_that_runs_a_program_asks_for_what_the_table_says() -> None:
    blocks = rule_blocks()
    assert blocks.keys() == RULES.keys()
    # Parts of slots are joined without a GPU.
    blocks["encode_slots"] = blocks["encode_slots"].replace(
        "gpu=JOBS.extraction_gpus", 'gpu=resource_of("encode_slots", "gpu")'
    )
    for name, block in blocks.items():
        for kind in ("mem_mb", "runtime", "gpu"):
            assert f'\n        {kind}=resource_of("{name}", "{kind}"),' in block, name
        product = RULES[name].product.replace("{format}", "png")  # whatever the format is
        assert f'"logs/results/{product}/{name}.log"' in block, name
        is_training = not RULES[name].threads
        threads = "functools.partial(JOBS.training_threads, " if is_training else "resource_of("
        assert f'\n    threads: {threads}"{name}"' in block, name


def test_rules_leave_retries_and_the_cluster_to_the_profiles() -> None:
    """The retries of a rule would be made once more within each job."""
    for name, block in rule_blocks().items():
        assert "retries" not in block, name
        assert "slurm" not in block, name


def test_predictors_go_before_what_else_follows_savi() -> None:
    prior = {name for name, block in rule_blocks().items() if "\n    priority: 1 " in block}
    assert prior == {"encode_slots", "fit_predictor"}


@pytest.mark.parametrize(
    "name", ["config.yaml", "tabletop_boxes.yaml", "tabletop_unconditional.yaml"]
)
def test_scoring_jobs_of_the_demos_run_side_by_side(tmp_path: Path, name: str) -> None:
    run = run_snakemake(
        *("all", "probe_slots", "--dry-run", "--cores", "2"),
        *("--configfile", PROJECT / "config" / name),
        folder=tmp_path,
        read=PROJECT,
    )
    assert run.status == 0, run.text
    # one thread is what Snakemake does not print
    rules = re.findall(r"^rule (\w+):\n(?:    .*\n)*?    threads: 2\n", run.text, re.MULTILINE)
    assert set(rules) == {"fit_savi"}


def test_parts_of_slots_are_joined_without_a_gpu(tmp_path: Path) -> None:
    gpus = "{encode_chunk: {gpu: 1}, encode_slots: {gpu: 1}}"
    run = run_snakemake(
        *("extract_slots", "--dry-run", "--configfile", TINY, "--config", f"resources={gpus}"),
        folder=tmp_path,
        read=PROJECT,
    )
    jobs = re.findall(r"output: results/.*/slots/(\S+)\.h5\n(?:.*\n)*?.*gpu=(\d)", run.text)
    assert dict(jobs) == {
        "test": "1",
        "val": "1",
        "train": "0",
        "train/chunk0": "1",
        "train/chunk1": "1",
    }
