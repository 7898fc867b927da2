"""What becomes stale: edits of keys, modules and files against the jobs that a dry run lists.

The study of tests/helpers/staleness.yaml is finished once, by programs that only make files, so
that Snakemake holds the records of a real run. Each edit is then one dry run of the real Snakefile.
"""

import ast
import contextlib
import functools
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, RootModel
from snakemake_runs import (
    FILES_OF_PROJECT,
    PROJECT,
    Job,
    Step,
    copy_package,
    copy_project,
    jobs_in,
    run_snakemake,
    smallest_study,
    stale_jobs,
    steps_in,
    stub_python,
)
from staleness_raw import write_raw_files
from staleness_rows import (
    EVERYTHING,
    FIGURES,
    FROM_IMPORTS,
    FROM_PREDICTOR_SCORES,
    FROM_PREDICTORS,
    FROM_PROBES,
    FROM_SAVI,
    FROM_VIDEOS,
    KEYS,
    MODULES,
    NOTHING,
    OF_ALL,
    OTHER_EDITS,
    PAGE,
    PREDICTED,
    READ_OF_PREDICTED,
    TIMES,
    WINGS,
    Edit,
    jobs,
    rows_of,
    set_key,
    wing_of,
)

from ocvp.config.section import SPLITS
from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.data.raw_files import list_videos, manifest
from ocvp.records import digests
from ocvp.records.origins import files_digest, origin_files, write_record
from ocvp.records.rules import RULES, stage_config, stage_digest

STUDY = PROJECT / "tests/helpers" / "staleness.yaml"


class Finished(NamedTuple):
    """A finished study; do not write into its folders."""

    folder: Path
    """Working folder: results/, logs/, .snakemake/."""
    project: Path
    """The code that it was made with: a copy, so that edits during the tests do not count."""
    steps: tuple[Step, ...]
    """All jobs that ran, with their files, in this order."""

    @property
    def jobs(self) -> set[Job]:
        """All jobs that ran."""
        return {step.job for step in self.steps}

    def stale(self, *configs: Path, **changes: Any) -> set[Job]:
        """Return the jobs of a dry run, in another folder or with another project if given."""
        ours = {"folder": self.folder, "project": self.project}
        ours["read"] = None if "project" in changes else self.project
        return stale_jobs(configs or (STUDY,), **ours | changes)

    def followed(self, changed: set[Job]) -> set[Job]:
        """Return the jobs that must run after some have changed: these, and what reads of them."""
        stale, made = set(changed), set()
        for step in self.steps:  # in the order in which they ran
            if step.job in stale or made & set(step.inputs):
                stale.add(step.job)
                made.update(step.outputs)
        return stale

    def expected(self, rules: set[str], within: str = "") -> set[Job]:
        """Return the jobs of rules; `within` picks by product, but never leaves out the tables.

        The page is picked by what it shows.
        """
        return {
            step.job
            for step in self.steps
            if step.job.rule in rules
            and (
                step.job.rule in OF_ALL
                or any(
                    re.search(within, path)
                    for path in (step.inputs if step.job.rule in PAGE else [step.job.output])
                )
            )
        }


@pytest.fixture(scope="session")
def finished(shared_folder: Callable[[str, Callable[[Path], None]], Path]) -> Finished:
    """Finish the study once, with programs that only make files."""

    def build(folder: Path) -> None:
        project, work = copy_project(folder / "project"), folder / "work"
        work.mkdir()
        write_raw_files(work)
        run = run_snakemake(
            *("--cores", "2", "--configfile", STUDY),
            folder=work,
            project=project,
            python=stub_python(folder / "stub"),
        )
        assert run.status == 0, run.text
        (folder / "run.txt").write_text(run.text, encoding="utf-8")

    folder = shared_folder("finished-stubs", build)
    steps = steps_in((folder / "run.txt").read_text(encoding="utf-8"))
    return Finished(folder / "work", folder / "project", tuple(steps))


def edited_config(edit: Edit) -> dict[str, Any]:
    """Return the study's config with an edit."""
    config = base_config()
    for key, value in {**edit.also, edit.key: edit.value}.items():
        set_key(config, key, value)
    return config


def base_config() -> dict[str, Any]:
    """Return the study's config, no two entries sharing a mapping as anchors make them do."""
    return dict(json.loads(_study_text()))


@functools.cache
def _study_text() -> str:
    return json.dumps(yaml.safe_load(STUDY.read_text(encoding="utf-8")))


class _NoAliases(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_config(path: Path, config: dict[str, Any]) -> Path:
    """Write a config as YAML, in its own order."""
    path.write_text(yaml.dump(config, Dumper=_NoAliases, sort_keys=False), encoding="utf-8")
    return path


# --- the study itself ---------------------------------------------------------------------------


def test_the_study_has_every_rule_and_a_second_run_does_nothing(finished):
    of_several_seeds = {"draw_seed_curves"}  # which the row "one seed more" adds
    assert {job.rule for job in finished.jobs} == EVERYTHING - of_several_seeds
    assert len(finished.jobs) == 118
    assert finished.stale() == set()


# --- keys of the config -------------------------------------------------------------------------


def keys_of(annotation: Any) -> Iterator[str]:
    """Yield SECTION.KEY for each leaf key of the sections that an annotation holds.

    A key that allows one value only cannot be edited and is left out.
    """
    origin = get_origin(annotation)
    if origin in (dict, list, tuple, Annotated, Union, UnionType):
        for argument in get_args(annotation):
            yield from keys_of(argument)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            inner = list(keys_of(field.annotation))
            single = get_origin(field.annotation) is Literal and len(get_args(field.annotation)) < 2
            if inner or issubclass(annotation, RootModel):
                yield from inner
            elif not single:
                yield f"{annotation.__name__}.{name}"


def test_every_key_has_a_row():
    keys = set(keys_of(Config))
    assert "SaviTraining.learning_rate" in keys
    assert "NumVideos.train" in keys
    assert keys - KEYS.keys() == set(), "keys of the config without a row in staleness_rows.KEYS"
    assert KEYS.keys() - keys == set(), "rows of keys that the config does not have"


@pytest.mark.parametrize("name", KEYS)
def test_a_row_edits_the_key_that_it_is_about(name):
    assert KEYS[name].key.rpartition(".")[2] == name.rpartition(".")[2]


# Keys that reach Snakemake by one param alone, the part of the config that a product depends on, or
# by none: the first of each section gets a dry run, the others are compared as it would.
BY_ONE_PARAM = (
    r"(Figures|LstmModel|PredictorTraining|RuleResources|Runtime|SaviModel|SaviTraining"
    r"|TransformerModel)\."
    r"|Protocol\.(num_context|num_preds|moving_pixels|cut_context)$"
    r"|\w+Dataset\.(fields|fit|max_objects|num_frames|num_objects|resize|source_resolution|start"
    r"|stride)$"
)
COMPARED = [
    name
    for before, name in itertools.pairwise(KEYS)
    if re.match(BY_ONE_PARAM, name) and before.startswith(f"{name.partition('.')[0]}.")
]
RUN = {name: edit for name, edit in (KEYS | OTHER_EDITS).items() if name not in COMPARED}


@pytest.mark.parametrize("edit", RUN.values(), ids=RUN)
def test_editing_a_key(edit, finished, tmp_path):
    config = write_config(tmp_path / "config.yaml", edited_config(edit))
    expected = finished.expected(edit.rules, edit.within) | edit.added
    assert finished.stale(config) == expected


def parts_of(config: Config, jobs: set[Job]) -> dict[Job, str]:
    """Return the part of a config that the product of each job depends on."""
    parts = {}
    for job in jobs:
        if RULES[job.rule].part is not None:
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+?)", re.escape(RULES[job.rule].product))
            found = re.fullmatch(f"results/{pattern}", job.output)
            assert found, job
            parts[job] = stage_config(config, job.rule, found.groupdict())
    return parts


@pytest.fixture(scope="module")
def parts(finished: Finished) -> dict[Job, str]:
    """The parts of the finished study's config."""
    return parts_of(read_config(base_config()), finished.jobs)


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_a_key_is_in_the_parts_of_what_it_makes_stale(name, finished, parts):
    edit = KEYS[name]
    edited = parts_of(read_config(edited_config(edit)), finished.jobs)
    changed = {job for job, part in parts.items() if edited[job] != part}
    assert finished.followed(changed) == finished.expected(edit.rules, edit.within)


def reordered(value: Any) -> Any:
    """Return a config with the keys of every mapping in reverse order."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_reordering_keys_makes_nothing_stale(finished, tmp_path):
    original = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    config = reordered(original)
    assert list(config) == list(original)[::-1]
    path = write_config(tmp_path / "config.yaml", config)
    assert finished.stale(path) == set()


def test_an_override_counts_like_an_edit(finished, tmp_path):
    path = write_config(tmp_path / "mine.yaml", {"figures": {"upscale": 2}})
    assert finished.stale(STUDY, path) == finished.expected(FIGURES)


@pytest.mark.parametrize("name", ["workstation", "slurm"])
def test_another_profile_makes_nothing_stale(name, finished):
    run = run_snakemake(
        *("--dry-run", "--profile", finished.project / "profiles" / name),
        *("--configfile", STUDY),
        folder=finished.folder,
        project=finished.project,
        read=finished.project,
    )
    assert run.status == 0, run.text
    assert f"profiles/{name} and workflow specific profile" in run.text
    assert jobs_in(run.text) == set()


# --- modules of the package ---------------------------------------------------------------------


@pytest.fixture
def project(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the code whose modules may be edited."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FILES_OF_PROJECT:
        (folder / name).symlink_to(finished.project / name)
    copy_package(finished.project, folder)
    return folder


def edit_function(source: str) -> str:
    """Return a module with a statement more in its first function, or at its end without one."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.body[0].lineno > node.lineno:
            last = node.body[0] if ast.get_docstring(node) else None
            line = last.end_lineno if last else node.body[0].lineno - 1
            lines.insert(line, f"{' ' * node.body[0].col_offset}edited_by_a_test = 1\n")
            return "".join(lines)
    return f"{source}\nEDITED_BY_A_TEST = 1\n"


def edit_text(source: str) -> str:
    """Return a module with other comments, docstrings and blank lines, and the same code."""
    lines = source.splitlines(keepends=True)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [
        node.body[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and ast.get_docstring(node)
    ]
    for docstring in sorted(docstrings, key=lambda node: node.lineno, reverse=True):
        indent = " " * docstring.col_offset
        lines[docstring.lineno - 1 : docstring.end_lineno] = [f'{indent}"""Other words."""\n']
    return f"# A comment.\n\n{''.join(lines)}\n\n\n# Another comment.\n"


def all_modules() -> list[str]:
    """Return the modules of the package; the wings' own hold a docstring only (test_layers.py)."""
    package = PROJECT / "ocvp"
    paths = [path.relative_to(package).with_suffix("") for path in package.rglob("*.py")]
    return ["__init__", *sorted(".".join(p.parts) for p in paths if p.name != "__init__")]


def test_the_rows_of_modules_are_those_that_differ_from_their_wing():
    modules = all_modules()
    assert "train_savi" in modules
    assert {wing_of(name) for name in modules} == WINGS.keys()
    assert MODULES.keys() - set(modules) == set(), "rows of modules that do not exist"
    assert [name for name in MODULES if MODULES[name] == WINGS[wing_of(name)]] == []


# One for each wing, and all that differ from theirs.
# One of each wing, in its file: all others are edited in memory, below.
EDITED = ["__init__"] + [
    next(name for name in all_modules() if wing_of(name) == wing and name not in MODULES)
    for wing in WINGS
]


@pytest.mark.parametrize("name", EDITED)
def test_editing_a_module(name, finished, project):
    module = project / "ocvp" / f"{name.replace('.', '/')}.py"
    source = module.read_text(encoding="utf-8")
    module.write_text(edit_function(source), encoding="utf-8")
    assert ast.dump(ast.parse(module.read_text(encoding="utf-8"))) != ast.dump(ast.parse(source))
    expected = set().union(*(finished.expected(*row) for row in rows_of(name)))
    assert finished.stale(project=project) == expected


@pytest.fixture(scope="module")
def kinds() -> dict[str, str]:
    """The kind of each data set of the study."""
    config = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    return {name: dataset["kind"] for name, dataset in config["datasets"].items()}


def code_of(job: Job, kinds: dict[str, str]) -> str:
    """Return the digest of the code that a job runs."""
    makes_videos = job.rule in ("make_chunk", "make_videos")
    return stage_digest(job.rule, kinds[job.output.split("/")[1]] if makes_videos else None)


@pytest.mark.parametrize("name", all_modules())
def test_every_module_has_the_effect_of_its_wing_or_of_its_row(name, finished, kinds, monkeypatch):
    """By digests alone: the jobs whose code is another, and all that follow from them."""
    before = {job: code_of(job, kinds) for job in finished.jobs}
    module = "ocvp" if name == "__init__" else f"ocvp.{name}"
    own_digest = digests._own_digest
    monkeypatch.setattr(digests, "_own_digest", lambda m: own_digest(m) + " edited" * (m == module))
    forget_digests()
    edited = {job for job in finished.jobs if code_of(job, kinds) != before[job]}
    monkeypatch.undo()
    forget_digests()
    expected = set().union(*(finished.expected(*row) for row in rows_of(name)))
    assert finished.followed(edited) == expected


def forget_digests() -> None:
    """Forget the digests of modules; what was parsed stays."""
    digests._module_digest.cache_clear()
    stage_digest.cache_clear()


def test_comments_docstrings_and_blank_lines_of_all_modules_make_nothing_stale(finished, project):
    for module in (project / "ocvp").rglob("*.py"):
        source = module.read_text(encoding="utf-8")
        module.write_text(edit_text(source), encoding="utf-8")
        assert module.read_text(encoding="utf-8").count("Other words.") >= 1
    assert finished.stale(project=project) == set()


SPOKEN = r"((?:\bhelp=|\blogger\.(?:debug|info|warning|error)\(\s*)f?[\"'])"


def test_other_help_texts_and_log_messages_of_all_modules_make_nothing_stale(finished, project):
    count = 0
    for module in (project / "ocvp").rglob("*.py"):
        source, changed = re.subn(SPOKEN, r"\1other words ", module.read_text(encoding="utf-8"))
        module.write_text(source, encoding="utf-8")
        count += changed
    assert count > 100
    assert finished.stale(project=project) == set()


def test_another_constant_of_the_schedule_is_other_code_of_both_trainings_alone(project):
    program = (
        "from ocvp.records.rules import RULES, stage_digest\n"
        "print({rule: stage_digest(rule) for rule in RULES})"
    )

    def digests_of_rules() -> dict[str, str]:
        words = [sys.executable, "-c", program]  # which finds the package of its own folder
        found = subprocess.run(words, cwd=project, capture_output=True, text=True, check=True)
        return dict(ast.literal_eval(found.stdout))

    before = digests_of_rules()
    module = project / "ocvp/training/schedule.py"
    source = module.read_text(encoding="utf-8")
    module.write_text(source.replace("(1.0 + math.cos(", "(1.5 + math.cos("), encoding="utf-8")
    assert module.read_text(encoding="utf-8") != source
    after = digests_of_rules()
    assert {rule for rule in before if after[rule] != before[rule]} == {"fit_savi", "fit_predictor"}


def test_a_new_module_that_nothing_imports_makes_nothing_stale(finished, project):
    (project / "ocvp" / "another.py").write_text('"""Nothing imports this."""\n', encoding="utf-8")
    assert finished.stale(project=project) == set()


def test_the_environment_file_makes_nothing_stale(finished, project):
    (project / "envs").unlink()
    shutil.copytree(finished.project / "envs", project / "envs")
    for path in (project / "envs").iterdir():
        path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    assert finished.stale(project=project) == set()


# --- places and files ---------------------------------------------------------------------------


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished working folder, which may be changed."""
    return Path(shutil.copytree(finished.folder, tmp_path / "elsewhere", symlinks=True))


def test_a_moved_folder_is_up_to_date(copied, finished, project):
    assert finished.stale(folder=copied, project=project) == set()


@pytest.mark.parametrize("size", [1_200_000, 250_000_000])
def test_touched_files_are_up_to_date_whatever_their_size(size, finished, tmp_path):
    study = write_config(tmp_path / "study.yaml", smallest_study())
    run = run_snakemake(
        *("--cores", "2", "--configfile", study),
        folder=tmp_path,
        project=finished.project,
        python=stub_python(tmp_path / "stub", large=size),
    )
    assert run.status == 0, run.text
    small = tmp_path / "results/tiny/small/seed1/savi.pt"
    large = tmp_path / "results/tiny/videos/train.h5"
    assert large.stat().st_size == size
    for path in (small, large):
        os.utime(path)
    assert finished.stale(study, folder=tmp_path) == set()
    with large.open("r+b") as file:  # as large as before
        file.write(b"other")
    assert Job("fit_savi", "results/tiny/small/seed1/savi.pt") in finished.stale(
        study, folder=tmp_path
    )


def test_a_copy_in_another_clone_is_up_to_date_in_whatever_order_its_files_were_copied(
    finished, tmp_path
):
    clone = Path(shutil.copytree(finished.project, tmp_path / "clone"))
    for name in ("results", "raw", ".snakemake"):
        shutil.copytree(finished.folder / name, clone / name, symlinks=True)
    files = sorted(path for path in (clone / "results").rglob("*") if path.is_file())
    random.Random(1).shuffle(files)
    start = time.time() - len(files)
    for number, path in enumerate(files):
        os.utime(path, (start + number, start + number))
    assert finished.stale(folder=clone, project=clone) == set()
    # By their times alone, many would be.
    run = run_snakemake(
        *("-n", "--configfile", STUDY, "--max-checksum-file-size", "0"),
        folder=clone,
        project=clone,
    )
    assert len(jobs_in(run.text)) > 10


def test_other_contents_make_what_reads_them_stale(copied, finished):
    with (copied / "results/first/small/seed1/ocvp/predictor.pt").open("a") as file:
        file.write("more")
    expected = finished.expected(
        FROM_PREDICTOR_SCORES | TIMES, "/ocvp/|/small/seed1/figures/[a-z]+_(curves|probe|video)"
    )
    assert finished.stale(folder=copied) == expected


FILES_OF_OBJ3D = (FROM_VIDEOS, "results/obj3d/")


@pytest.mark.parametrize(
    ("path", "rules", "within"),
    [
        ("raw/OBJ3D/val/2/test_8.png", *FILES_OF_OBJ3D),
        ("raw/OBJ3D/val/2/test_9.png", NOTHING, ""),  # the first eight frames are used
        ("raw/published/models/checkpoint.pth", FROM_IMPORTS, "/fetched/"),
        ("raw/published/experiment_params.json", FROM_IMPORTS, "/fetched/"),
        ("raw/published/models/other.pth", NOTHING, ""),
        ("raw/mine/savi.pt", FROM_SAVI, "/tuned/"),
    ],
)
def test_other_contents_of_files_from_outside(path, rules, within, copied, finished):
    with (copied / path).open("a") as file:
        file.write("more")
    stale = finished.stale(folder=copied)
    expected = finished.expected(rules, within)
    if "OBJ3D" in path:  # only the split that it belongs to is converted again
        made = {"make_chunk", "make_videos"}
        expected = {job for job in expected if job.rule not in made or "/val" in job.output}
    assert stale == expected


def test_a_touched_raw_file_is_up_to_date(copied, finished):
    for name in ("OBJ3D/val/2/test_8.png", "published/models/checkpoint.pth", "mine/savi.pt"):
        os.utime(copied / "raw" / name)
    assert finished.stale(folder=copied) == set()


def test_raw_files_and_checkpoints_may_be_gone_once_they_were_used(copied, finished):
    config = read_config(yaml.safe_load(STUDY.read_text(encoding="utf-8")))
    with contextlib.chdir(copied):  # the programs of this study write no records
        for name in ("obj3d", "movi", "own"):
            for split in SPLITS:
                videos = list_videos(config.datasets[name], split)
                record = manifest(config.datasets[name], videos)
                path = Path(f"results/{name}/videos/{split}.manifest.json")
                path.write_text(json.dumps(record), encoding="utf-8")
        for output, entry in {
            "second/fetched/seed1/savi.pt": config.savi["fetched"],
            "second/fetched/seed1/imported/predictor.pt": config.predictors["imported"],
            "second/tuned/seed1/savi.pt": config.savi["tuned"],
        }.items():
            origin = entry.pretrained or entry.start_from
            digest = files_digest(origin_files(entry))
            write_record(Path("results", output), origin, digest=digest)
    shutil.rmtree(copied / "raw")
    assert finished.stale(folder=copied) == set()


@pytest.mark.parametrize("name", ["published/models/another.pth", "nowhere.pt"])
def test_the_record_of_one_checkpoint_does_not_stand_for_another(name, copied, finished, tmp_path):
    config = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    folder = copied / "results/second/fetched/seed1"
    write_record(folder / "savi.pt", Path(config["savi"]["fetched"]["pretrained"]), digest="1")
    config["savi"]["fetched"]["pretrained"] = f"raw/{name}"
    path = write_config(tmp_path / "config.yaml", config)
    run = run_snakemake("-n", "--configfile", path, folder=copied, project=finished.project)
    assert run.status == 1
    assert f"raw/{name} does not exist" in run.text


OWN = "results/first/small/seed1/savi.pt"


@pytest.mark.parametrize("key", ["pretrained", "start_from"])
def test_a_model_is_not_made_of_its_own_product(key, copied, finished, tmp_path):
    config = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    set_key(config, f"savi.small.{key}", OWN)
    path = write_config(tmp_path / "config.yaml", config)
    run = run_snakemake("-n", "--configfile", path, folder=copied, project=finished.project)
    assert run.status == 1
    assert f"{OWN} lies where the model that is made of it is written to" in run.text


@pytest.mark.parametrize(
    ("key", "rule"), [("pretrained", "import_savi"), ("start_from", "fit_savi")]
)
def test_a_model_that_the_study_makes_is_an_input_of_what_is_made_of_it(
    key, rule, copied, finished, tmp_path
):
    config = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    set_key(config, "savi.tuned.start_from", None)
    set_key(config, f"savi.tuned.{key}", OWN)
    path = write_config(tmp_path / "config.yaml", config)
    made = Job(rule, "results/second/tuned/seed1/savi.pt")
    assert made in finished.stale(path, folder=copied)
    (copied / OWN).unlink()
    again = finished.stale(path, folder=copied)
    assert {made, Job("fit_savi", OWN)} <= again


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("OBJ3D/val", "datasets.obj3d: raw/OBJ3D/val does not exist"),
        ("tfds", "datasets.movi: raw/tfds holds no movi_a-"),
        ("own/videos", "datasets.own: raw/own/videos does not exist"),
        ("published/models", "raw/published/models/checkpoint.pth does not exist"),
        ("mine", "savi.pt does not exist"),
    ],
)
def test_what_was_never_used_must_be_there(lost, message, finished, tmp_path):
    write_raw_files(tmp_path)
    shutil.rmtree(tmp_path / "raw" / lost)
    run = run_snakemake(
        "--dry-run", "--configfile", STUDY, folder=tmp_path, project=finished.project
    )
    assert run.status == 1
    assert message in run.text


CURVES_OF_SMALL = "results/first/small/seed1/figures/[a-z]+_(curves|probe|video)"
DELETED: dict[str, tuple[set[str], str]] = {
    "first/videos/test.h5": (
        {"make_chunk", "make_videos", "encode_slots", "score_savi"}
        | FIGURES
        | PAGE
        | FROM_PROBES
        | {"score_predictor"},
        r"first/(videos/test|.*/slots/test|[a-z]+/seed1/evaluation|.*short|.*probe|.*slots\.png)",
    ),
    "first/small/seed1/savi.pt": (FROM_SAVI, "first/small/"),
    "first/small/seed1/evaluation.json": ({"score_savi", "summarize"}, "first/small/"),
    "second/small/seed1/slots/val.h5": ({"encode_slots"}, "second/small/seed1/slots/val"),
    "first/small/seed1/slots/train.h5": (
        {"encode_slots"} | FROM_PREDICTORS | FROM_PROBES,
        "first/small/seed1/(slots/train|lstm|ocvp|probe|figures/[a-z]+_(curves|probe|video))",
    ),
    "first/small/seed1/ocvp/predictor.pt": (FROM_PREDICTORS, f"/ocvp/|{CURVES_OF_SMALL}"),
    "first/small/seed1/ocvp/evaluation/short.json": (
        PREDICTED,
        "/ocvp/.*short|/small/seed1/figures/short_(curves|video)",
    ),
    "first/small/seed1/probe.json": (FROM_PROBES, "first/small/"),
    "first/small/seed1/ocvp/probe/short.json": (
        READ_OF_PREDICTED,
        "/ocvp/probe/short|/small/seed1/figures/short_probe",
    ),
    "first/small/seed1/ocvp/figures/short_video1.gif": (
        {"draw_rollouts"},
        "/ocvp/figures/short",
    ),
    "first/small/seed1/figures/slots.png": ({"draw_slots"}, "first/small/"),
    "summary.csv": ({"summarize"}, ""),
    "comparisons.csv": ({"summarize"}, ""),
    "training_time.csv": ({"collect_training_time"}, ""),
    "studies/staleness/comparisons.csv": ({"summarize"}, ""),
    "studies/staleness/training_time.csv": ({"collect_training_time"}, ""),
}


@pytest.mark.parametrize("product", DELETED)
def test_a_deleted_product_and_what_depends_on_it(product, copied, finished):
    (copied / "results" / product).unlink()
    rules, within = DELETED[product]
    assert finished.stale(folder=copied) == finished.expected(rules, within)


def test_the_deleted_product_is_made_again_and_then_all_is_up_to_date(copied, finished):
    lost = copied / "results/first/small/seed1/slots/val.h5"
    lost.unlink()
    run = run_snakemake(
        *("--cores", "2", "--configfile", STUDY),
        folder=copied,
        project=finished.project,
        python=stub_python(copied / "stub"),
    )
    assert run.status == 0, run.text
    assert lost.exists()
    assert finished.stale(folder=copied) == set()


def test_a_second_study_adds_its_tables_and_shares_the_rest(copied, finished, tmp_path):
    config = base_config()
    config["study"] = config["study"][1:2]  # one SAVi, one predictor
    del config["name"]
    second = write_config(tmp_path / "second.yaml", config)
    own = ("summary.csv", "comparisons.csv", "training_time.csv")
    former = {name: (copied / "results/studies/staleness" / name).stat() for name in own}
    run = run_snakemake(
        *("--cores", "2", "--configfile", second),
        folder=copied,
        project=finished.project,
        python=stub_python(copied / "stub"),
    )
    assert run.status == 0, run.text
    page = jobs("make_page studies/second/rollouts.html")
    assert jobs_in(run.text) == finished.expected(OF_ALL) | page
    files = {path.name for path in (copied / "results/studies/second").iterdir()}
    assert files == {*own, "rollouts.html"}
    now = {name: (copied / "results/studies/staleness" / name).stat() for name in own}
    assert now == former
    # and back: only the tables of the last study are those of another one
    assert finished.stale(second, folder=copied) == set()
    assert finished.stale(folder=copied) == finished.expected(OF_ALL)


def test_the_rows_name_every_rule_and_no_other():
    # A row of what must not count would pass if the names of rules were misspelt.
    rules = [rules for rows in (WINGS | MODULES).values() for rules, _ in rows]
    assert set().union(*rules) == EVERYTHING
