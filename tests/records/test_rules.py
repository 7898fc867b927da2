"""The table of stages: what each program really imports is what its digest covers."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import IMPORT_RECORDER, FinishedStudy
from raw_movi import unpack_movi
from raw_trees import write_folder, write_obj3d
from snakemake_runs import PROJECT
from staleness_rows import EVERYTHING
from tiny import (
    command,
    quiet_environment,
    write_predictor,
    write_random_slots,
    write_savi,
    write_videos,
)

from ocvp.data.sources import source_modules
from ocvp.evaluation.probes import save_probes
from ocvp.models.loading import open_savi
from ocvp.records.digests import import_closure, is_code
from ocvp.records.rules import RULES, stage_digest

# Imported to show something in TensorBoard.
SHOWN = {
    "ocvp.pictures.cards",
    "ocvp.pictures.decoded",
    "ocvp.pictures.drawing",
    "ocvp.pictures.strips",
    "ocvp.pictures.overlays",
    "ocvp.evaluation.image_metrics",
    "ocvp.evaluation.perceptual",
    "ocvp.evaluation.scoring",
    "ocvp.evaluation.segmentation_metrics",
    "ocvp.training.clip_scores",
}
# Imported to say what speaks against a training; it changes no weight.
DOUBTS = {"ocvp.training.binding"}
# What tells which products there are lists raw files.
LISTING = {
    "ocvp.data.raw_files",
    "ocvp.data.size_memory",
    "ocvp.data.raw_videos",
    "ocvp.data.tabletop.files",
}
ALLOWED = {
    "make_videos": LISTING,  # its digest covers all of the data set's kind
    "fit_savi": SHOWN | DOUBTS,
    "fit_predictor": SHOWN,
    "summarize": LISTING,
    "collect_training_time": LISTING,
}


def test_the_table_names_the_rules_of_the_workflow():
    assert RULES.keys() == EVERYTHING


def test_digests_of_programs_differ():
    # make_chunk and make_videos are one program.
    digests = {stage_digest(rule) for rule in RULES}
    assert len(digests) >= 8


def test_predictors_are_no_part_of_what_makes_a_savi():
    # Written out by hand: what the edit of a predictor's module must not retrain.
    for rule in ("make_chunk", "make_videos", "fit_savi", "score_savi", "encode_slots"):
        closure = import_closure(*modules_of(rule))
        assert "ocvp.models.predictors" not in closure
        assert "ocvp.training.predictor_task" not in closure


@pytest.mark.parametrize("rule", ["fit_savi", "fit_predictor"])
def test_what_is_only_shown_is_no_part_of_what_makes_a_model(rule):
    assert not SHOWN & import_closure(*modules_of(rule))


def modules_of(rule: str, kind: str = "tabletop") -> tuple[str, ...]:
    """Return what the digest of a rule covers, of a data set of this kind."""
    source = source_modules(kind) if rule == "make_chunk" else ()
    return (RULES[rule].program, *RULES[rule].loads, *source)


def code_in(modules: set[str]) -> set[str]:
    """Return the modules that can change a product. To take a digest imports more wings, but these
    are empty themselves (tests/test_layers.py), and the table of kinds of data sets, by which none
    but videos are made."""
    wings = {name for name in modules if (PROJECT / name.replace(".", "/")).is_dir()}
    return set(filter(is_code, modules - wings - {"ocvp.data.sources"}))


NOT_THERE = ("import_", "probe_", "draw_probes", "draw_seed_curves")
IN_THE_STUDY = [rule for rule in RULES if not rule.startswith(NOT_THERE)]


@pytest.mark.xdist_group("finished-study")
@pytest.mark.parametrize("rule", IN_THE_STUDY)
def test_a_program_imports_nothing_that_its_digest_leaves_out(
    rule: str, finished_study: FinishedStudy
):
    imported = finished_study.imports[rule]
    assert "ocvp.runtime.program" in imported
    assert code_in(imported) - import_closure(*modules_of(rule)) - ALLOWED.get(rule, set()) == set()


@pytest.mark.xdist_group("finished-study")
@pytest.mark.parametrize("rule", IN_THE_STUDY)
def test_a_digest_covers_nothing_that_its_program_does_not_import(
    rule: str, finished_study: FinishedStudy
):
    # The program itself runs as __main__.
    assert import_closure(*modules_of(rule)) - finished_study.imports[rule] == {RULES[rule].program}


# --- programs that the tests' study does not run ------------------------------------------------


def imports_of(folder: Path, module: str, *arguments: Any) -> set[str]:
    """Run a program, and return the modules of the package that it imported."""
    (folder / "sitecustomize.py").write_text(IMPORT_RECORDER, encoding="utf-8")
    log = folder / "recorded.log"
    finished = subprocess.run(
        [*command(module, *arguments), "--log", str(log)],
        capture_output=True,
        text=True,
        check=False,
        env=quiet_environment()
        | {
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
            "OCVP_TEST_IMPORTS": str(folder),
        },
    )
    assert finished.returncode == 0, finished.stderr
    (record,) = folder.glob("recorded-*.txt")
    return set(record.read_text(encoding="utf-8").split())


RAW: dict[str, dict[str, Any]] = {
    "obj3d": {"num_frames": 4, "resolution": [16, 16]},
    "movi": {"num_frames": 4},
    "folder": {"num_frames": 4, "resolution": [16, 16], "frames": "frames"},
}


@pytest.mark.parametrize("kind", RAW)
def test_each_kind_of_data_set_imports_what_its_digest_covers(kind: str, tmp_path: Path):
    {"obj3d": write_obj3d, "movi": unpack_movi, "folder": write_folder}[kind](tmp_path / "raw")
    config = json.dumps({"kind": kind, "root": str(tmp_path / "raw"), **RAW[kind]})
    arguments = ("--dataset", "raw", "--split", "val", "--output", tmp_path / "chunk0.h5")
    imported = imports_of(
        tmp_path, "ocvp.prepare_data", "chunk", "--config", config, *arguments, "--chunk", "0"
    )
    closure = import_closure(*modules_of("make_chunk", kind))
    assert code_in(imported) <= closure
    assert closure - imported == {"ocvp.prepare_data"}


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["probe_savi", "probe_predictor"])
def test_a_program_that_probes_imports_what_its_digest_covers(rule: str, tmp_path: Path):
    savi = write_savi(tmp_path / "savi.pt")
    write_videos(tmp_path / "test.h5")
    write_random_slots(tmp_path / "slots.h5", savi)
    files: dict[str, Any] = {"savi": savi, "videos": "test.h5", "slots": "slots.h5"}
    config: dict[str, Any] = {}
    if rule == "probe_savi":
        files |= {"train-videos": "test.h5", "train-slots": "slots.h5", "probes": "new.tensors"}
    else:
        save_probes(tmp_path / "probe.tensors", {}, open_savi(savi).digest)
        files |= {
            "predictor": write_predictor(tmp_path / "lstm.pt", savi),
            "probes": "probe.tensors",
        }
        config = {"protocol": {"num_context": 3, "num_preds": 2}}
    options = [word for name, path in files.items() for word in (f"--{name}", tmp_path / path)]
    output = ("--output", tmp_path / "scores.json", "--config", json.dumps(config))
    imported = imports_of(tmp_path, f"ocvp.{rule}", *options, *output, "--runtime", "{}")
    closure = import_closure(*modules_of(rule))
    assert code_in(imported) <= closure
    assert closure - imported == {f"ocvp.{rule}"}


@pytest.mark.parametrize("rule", ["import_savi", "import_predictor"])
def test_an_import_imports_what_its_digest_covers(rule: str, tmp_path: Path):
    savi = write_savi(tmp_path / "savi.pt")
    options = ["--checkpoint", savi]
    if rule == "import_predictor":
        options = ["--savi", savi, "--checkpoint", write_predictor(tmp_path / "lstm.pt", savi)]
    output = tmp_path / "imported/model.pt"
    imported = imports_of(tmp_path, "ocvp.import_checkpoint", *options, "--output", output)
    closure = import_closure(*modules_of(rule))
    assert code_in(imported) <= closure
    assert closure - imported == {"ocvp.import_checkpoint"}
