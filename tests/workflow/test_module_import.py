"""Another workflow imports this one: with its rules renamed, changed or picked, and its own config.

The importing project of docs/modules.md is taken from the page itself. Programs only make files,
but for one that is run for real, in an environment that does not hold the package.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from environments import make_environment, programs_of
from snakemake_runs import (
    PROJECT,
    Run,
    copy_project,
    jobs_in,
    run_snakemake,
    smallest_study,
    stub_python,
)

PAGE = PROJECT / "docs" / "modules.md"
CORES = ("--cores", "2")


class Original(NamedTuple):
    """The smallest study, finished by this workflow itself; do not write into its folders."""

    folder: Path
    project: Path
    jobs: set[tuple[str, str]]
    """Rules and first products of all jobs."""


@pytest.fixture(scope="session")
def original(shared_folder: Callable[[str, Callable[[Path], None]], Path]) -> Original:
    """Finish the smallest study once, with programs that only make files."""

    def build(folder: Path) -> None:
        project, work = copy_project(folder / "project"), folder / "work"
        work.mkdir()
        (work / "study.yaml").write_text(yaml.safe_dump(smallest_study()), encoding="utf-8")
        stub = stub_python(folder / "stub")
        run = run_snakemake(
            *CORES, "--configfile", "study.yaml", folder=work, project=project, python=stub
        )
        assert run.status == 0, run.text
        (folder / "run.txt").write_text(run.text, encoding="utf-8")

    folder = shared_folder("original-stubs", build)
    text = (folder / "run.txt").read_text(encoding="utf-8")
    return Original(folder / "work", folder / "project", set(jobs_in(text)))


def write_importer(
    folder: Path, project: Path, use: str, config: str = 'config["ocvp"]', own: str = ""
) -> Path:
    """Write a project that imports the smallest study, and return its folder.

    Args:
        folder: Where to write it.
        project: Folder of the imported Snakefile.
        use: Its `use rule` statements.
        config: What it gives as `config` of the module; empty: nothing.
        own: What stands before them.
    """
    folder.mkdir(exist_ok=True)
    (folder / "own.yaml").write_text(
        yaml.safe_dump({"ocvp": smallest_study(), "other": 1}), encoding="utf-8"
    )
    given = f"    config: {config}\n" if config else ""
    module = f'module ocvp:\n    snakefile: "{project}/Snakefile"\n{given}'
    text = f'configfile: "own.yaml"\n{own}\n{module}\n{use}\n'
    (folder / "Snakefile").write_text(text, encoding="utf-8")
    return folder


def dry_run(original: Original, importer: Path, *arguments: str | Path) -> Run:
    run = run_snakemake("-n", *arguments, folder=importer, project=importer, read=original.project)
    assert run.status == 0, run.text
    return run


def renamed(jobs: set[tuple[str, str]], prefix: str = "ocvp_") -> set[tuple[str, str]]:
    return {(f"{prefix}{rule}", output) for rule, output in jobs}


# --- the example of the page --------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_example_of_the_page_runs_and_then_has_nothing_to_do(tmp_path):
    copy_project(tmp_path / "ocvp")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "Snakefile").write_text(blocks("python")[0], encoding="utf-8")
    (mine / "config.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    stub = stub_python(tmp_path / "stub")
    run = run_snakemake(*CORES, folder=mine, project=mine, python=stub)
    assert run.status == 0, run.text
    rules = {rule for rule, _ in jobs_in(run.text)}
    # Its default is its own first rule, which asks for the tables and not for the pictures.
    assert {"psnr", "ocvp_make_videos", "ocvp_fit_savi", "ocvp_score_predictor"} <= rules
    assert "ocvp_draw_rollouts" not in rules
    assert {rule for rule in rules if not rule.startswith("ocvp_")} == {"psnr"}
    # The page's config: one predictor of the default config, two seeds.
    seeds = {f"results/tabletop/savi/seed{seed}/ocvp_seq/predictor.pt" for seed in (0, 1)}
    assert {output for rule, output in jobs_in(run.text) if rule == "ocvp_fit_predictor"} == seeds
    assert (mine / "psnr.csv").exists()
    plan = re.search(r"^This run: (\d+) jobs \((.*?)\)", run.text, re.MULTILINE | re.DOTALL)
    assert plan is not None, run.text
    assert int(plan[1]) == len(jobs_in(run.text)) + 1  # with the project's own, and its `all`
    assert plan[2].endswith(", all, psnr")
    assert re.search(r"\b2 fit_savi\b", plan[2])
    again = run_snakemake("-n", folder=mine, project=mine)
    assert "Nothing to be done" in again.text


# --- the same jobs, and none stale --------------------------------------------------------------

OVERRIDE = """
use rule fit_savi from ocvp as ocvp_fit_savi with:
    threads: 1
    log: "own_logs/{dataset}/{savi}/{seed}.log"
    benchmark: "own_logs/{dataset}/{savi}/{seed}/fit_savi.tsv"
    resources: mem_mb=8000
"""
VARIANTS = {
    "as they are": ("use rule * from ocvp", ""),
    "renamed": ("use rule * from ocvp as ocvp_*", "ocvp_"),
    "renamed and changed": (f"use rule * from ocvp as ocvp_*\n{OVERRIDE}", "ocvp_"),
    "one after the other": (
        "use rule fit_savi, summarize from ocvp as ocvp_*\n"
        "use rule * from ocvp exclude fit_savi, summarize as ocvp_*",
        "ocvp_",
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_study_has_the_same_jobs_and_finds_the_results_of_the_original(
    variant, original, tmp_path
):
    use, prefix = VARIANTS[variant]
    importer = write_importer(tmp_path / "mine", original.project, use)
    run = dry_run(original, importer, "all" if not prefix else "ocvp_all")
    assert jobs_in(run.text) == renamed(original.jobs, prefix)
    finished = shutil.copytree(original.folder, tmp_path / "finished")
    target = f"{prefix}all"
    found = dry_run(original, _within(importer, finished), target)
    assert "Nothing to be done" in found.text, found.text


def _within(importer: Path, folder: Path) -> Path:
    """Put the importing project into a folder with results, and return it."""
    for name in ("Snakefile", "own.yaml"):
        shutil.copy(importer / name, folder / name)
    return folder


def test_the_original_finds_the_results_of_the_importing_workflow(original, tmp_path):
    importer = write_importer(
        tmp_path / "mine", original.project, f"use rule * from ocvp as ocvp_*\n{OVERRIDE}"
    )
    stub = stub_python(tmp_path / "stub")
    run = run_snakemake(
        *CORES, folder=importer, project=importer, python=stub, read=original.project
    )
    assert run.status == 0, run.text
    assert jobs_in(run.text) == renamed(original.jobs)  # without a rule of its own: `all`
    study = original.folder / "study.yaml"
    for project, options in ((importer, ()), (original.project, ("--configfile", study))):
        again = run_snakemake(
            "-n", *options, folder=importer, project=project, read=original.project
        )
        assert "Nothing to be done" in again.text, again.text


def test_a_changed_rule_takes_its_log_and_resources(original, tmp_path):
    importer = write_importer(
        tmp_path / "mine", original.project, f"use rule * from ocvp as ocvp_*\n{OVERRIDE}"
    )
    run = dry_run(original, importer, "-p", "results/tiny/small/seed1/savi.pt")
    assert "--log own_logs/tiny/small/1.log" in run.text
    assert re.search(r"resources: .*mem_mb=8000", run.text)
    command = next(part for part in run.text.split("Shell command:") if "train_savi" in part)
    assert '"processes": 1' in command  # no GPUs are named any more


def test_a_rule_can_be_replaced(original, tmp_path):
    own = (
        "rule tables:\n"
        '    output: "results/summary.csv", "results/comparisons.csv"\n'
        '    shell: "touch {output}"\n'
    )
    use = "use rule * from ocvp exclude summarize as ocvp_*"
    importer = write_importer(tmp_path / "mine", original.project, use, own=own)
    jobs = jobs_in(dry_run(original, importer, "ocvp_all").text)
    others = {job for job in original.jobs if job[0] != "summarize"}
    assert jobs == renamed(others) | {("tables", "results/summary.csv")}


def test_single_rules_can_be_picked(original, tmp_path):
    use = "use rule make_chunk, make_videos, fit_savi from ocvp as o_*"
    target = "results/tiny/small/seed1/savi.pt"
    own = f'rule mine:\n    input: "{target}"\n'
    importer = write_importer(tmp_path / "mine", original.project, use, own=own)
    jobs = jobs_in(dry_run(original, importer).text)
    assert {rule for rule, _ in jobs} == {"o_make_chunk", "o_make_videos", "o_fit_savi"}
    assert ("o_fit_savi", target) in jobs


# --- names and wildcards ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "own", ["rule mine:\n    output: 'mine.txt'\n    shell: 'echo > {output}'", ""]
)
def test_the_default_target_is_the_first_rule_of_the_project_else_all(own, original, tmp_path):
    use = "use rule * from ocvp as ocvp_*"
    importer = write_importer(tmp_path / "mine", original.project, use, own=own)
    jobs = jobs_in(dry_run(original, importer).text)
    assert jobs == ({("mine", "mine.txt")} if own else renamed(original.jobs))


def test_wildcards_of_the_imported_rules_stay_bound_and_those_of_the_project_free(
    original, tmp_path
):
    own = 'rule copied:\n    output: "copies/{dataset}_{seed}.txt"\n    shell: "echo > {output}"\n'
    use = f"use rule * from ocvp as ocvp_*\n{OVERRIDE}"
    importer = write_importer(tmp_path / "mine", original.project, use, own=own)
    free = dry_run(original, importer, "copies/anything_at_all.txt")
    assert jobs_in(free.text) == {("copied", "copies/anything_at_all.txt")}
    for path in ("results/other/videos/val.h5", "results/tiny/small/seedone/savi.pt"):
        run = run_snakemake("-n", path, folder=importer, project=importer, read=original.project)
        assert run.status == 1
        assert "MissingRuleException" in run.text


# --- configs ------------------------------------------------------------------------------------

SEED_4 = "results/tabletop/savi/seed4/savi.pt"
CONFIGS: dict[str, tuple[str, Any]] = {
    "an override of the default": ('{"study": {"seeds": [4]}}', {SEED_4}),
    "an empty one": ("{}", {"results/tabletop/savi/seed0/savi.pt"}),
    "none": ("", {"results/tabletop/savi/seed0/savi.pt"}),
    "a whole one": ('config["ocvp"]', {"results/tiny/small/seed1/savi.pt"}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_config_of_the_module(name, original, tmp_path):
    config, expected = CONFIGS[name]
    importer = write_importer(tmp_path / "mine", original.project, "use rule * from ocvp", config)
    # What the project has at the place of the default config is its own.
    (importer / "config").mkdir()
    (importer / "config" / "config.yaml").write_text("nothing: here\n", encoding="utf-8")
    # In the way of the study: the project's own config is no part of the module's.
    options = ("--config", *_not_of_the_module(name))
    jobs = jobs_in(dry_run(original, importer, "train_savi", *options).text)
    assert {output for rule, output in jobs if rule == "fit_savi"} == expected


def _not_of_the_module(name: str) -> tuple[str, ...]:
    """Return what a command line says; without a config, the module takes it for its own."""
    return ("figures={upscale: 2}",) if name == "none" else ("mine=1",)


def test_a_wrong_config_is_named(original, tmp_path):
    importer = write_importer(
        tmp_path / "mine", original.project, "use rule * from ocvp", '{"predictor": {}}'
    )
    run = run_snakemake("-n", folder=importer, project=importer, read=original.project)
    assert run.status == 1
    assert "predictor" in run.text.partition("config is not valid")[2]


# --- hooks, report, programs --------------------------------------------------------------------


def test_the_report_shows_the_captions(original, tmp_path):
    finished = shutil.copytree(original.folder, tmp_path / "finished")
    use = "use rule * from ocvp as ocvp_*"
    folder = _within(write_importer(tmp_path / "mine", original.project, use), finished)
    report = tmp_path / "report.html"
    run = run_snakemake("--report", report, folder=folder, project=folder)
    assert run.status == 0, run.text
    text = report.read_text(encoding="utf-8")
    for caption in ("Decomposition", "Rollouts", "Metrics over time"):
        assert caption in text


def test_jobs_find_the_package_where_it_is_not_installed(tmp_path):
    """The clone lies in the importing project, under the name of the package."""
    mine = write_importer(tmp_path / "mine", Path("ocvp"), "use rule * from ocvp as ocvp_*")
    copy_project(mine / "ocvp")
    environment = tmp_path / "environment"
    python = make_environment(environment)
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run([python, "-c", "import ocvp"], check=False, cwd="/", env=variables)
    assert found.returncode == 1
    videos = "results/tiny/videos/val.h5"
    done = subprocess.run(
        [python, "-m", "snakemake", "--cores", "1", videos],
        cwd=mine,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert programs_of(environment).count("ocvp.prepare_data") == 2
    with (mine / videos).open("rb") as file:
        assert file.read(8) == b"\x89HDF\r\n\x1a\n"
