"""Products against the study as it is now: other config, code, seed, inputs, versions."""

import json
import shutil
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY, FinishedStudy
from snakemake_runs import run_snakemake, stale_jobs
from staleness_rows import set_key

from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.study.plan import Job, estimate_seconds, show_differences
from ocvp.study.products import figures, products, trained_models
from ocvp.study.staleness import (
    check_products,
    damaged_records,
    faults,
    other_versions,
    unknown_faults,
)

CHAIN = Path("results/tiny/small/seed1")


def study(**edits: Any) -> Config:
    """Return the config of tests/helpers/tiny.yaml with some keys set; `__` stands for dots."""
    config = json.loads(json.dumps(yaml.safe_load(TINY.read_text(encoding="utf-8"))))
    for key, value in edits.items():
        set_key(config, key.replace("__", "."), value)
    return read_config(config)


def of(finished_study: FinishedStudy) -> dict[str, Any]:
    """Return the options of runs of that study's code, which is read once."""
    return {"project": finished_study.project, "read": finished_study.project}


def edit_record(path: Path, **changes: Any) -> None:
    record = json.loads(path.read_text())
    for key, value in changes.items():
        set_key(record, key.replace("__", "."), value)
    path.write_text(json.dumps(record))


def test_the_products_are_those_that_the_workflow_makes(finished_study):
    made = {
        str(path.relative_to(finished_study.folder))
        for pattern in ("videos/*.h5", "savi.pt", "evaluation.json", "slots/*.h5", "predictor.pt")
        for path in (finished_study.folder / "results").rglob(pattern)
    }
    made |= {str(CHAIN / f"{p}/evaluation/{e}.json") for p in PREDICTORS for e in PROTOCOLS}
    found = list(products(study()))
    assert {product.path for product in found} == made
    assert len(found) == len(made)
    assert trained_models(study()) == [
        str(CHAIN / "savi.pt"),
        *(str(CHAIN / name / "predictor.pt") for name in PREDICTORS),
    ]


PREDICTORS = ("lstm", "transformer", "ocvp_seq", "ocvp_par")
PROTOCOLS = ("short", "validation")


def test_what_the_workflow_made_belongs_together(copied):
    assert list(faults(study())) == []
    check_products(study())
    assert unknown_faults(study()) == ""


@pytest.mark.parametrize(
    ("edits", "product", "reason"),
    [
        (
            {"predictors__lstm__training__learning_rate": 1e-3},
            "lstm/predictor.pt",
            "made with another config (config training.learning_rate 0.0001 -> 0.001)",
        ),
        (
            {"savi__small__evaluation__num_frames": 5},
            "evaluation.json",
            "made with another config (config evaluation.num_frames 6 -> 5)",
        ),
        (
            {"predictors__lstm__pretrained": "x.pt"},
            "lstm/predictor.pt",
            "made by fit_predictor, not by import_predictor",
        ),
    ],
)
def test_another_config_is_told(copied, edits, product, reason):
    found = {fault.product: fault.reason for fault in faults(study(**edits))}
    assert found == {str(CHAIN / product): reason}


def test_other_code_another_seed_and_no_record_are_told(copied):
    edit_record(CHAIN / "provenance.json", code="0")
    edit_record(CHAIN / "slots/val.provenance.json", seed=2)
    (CHAIN / "lstm/evaluation/short.provenance.json").unlink()
    assert {fault.product: fault.reason for fault in faults(study())} == {
        str(CHAIN / "savi.pt"): "made with other code",
        str(CHAIN / "slots/val.h5"): "made with seed 2",
        str(CHAIN / "lstm/evaluation/short.json"): "no record says what made it",
    }


def test_a_replaced_input_is_told(copied):
    path = CHAIN / "ocvp_par/provenance.json"
    edit_record(path, products={"predictor.pt": "weights:another"})
    found = {fault.product: fault.reason for fault in faults(study())}
    expected = f"made of another predictor than {CHAIN}/ocvp_par/predictor.pt, which was replaced"
    assert set(found) == {str(CHAIN / f"ocvp_par/evaluation/{name}.json") for name in PROTOCOLS}
    assert all(reason.startswith(expected) for reason in found.values())


def test_a_replaced_second_file_of_a_product_is_told(copied):
    probes = CHAIN / "probe.tensors"
    edit_record(
        CHAIN / "evaluation.provenance.json", products={"evaluation.json": "0", probes.name: "1"}
    )
    scores = CHAIN / "lstm/evaluation/short.provenance.json"
    inputs = json.loads(scores.read_text())["inputs"]
    entry = {"role": "probe", "path": "../../probe.tensors", "digest": "another"}
    edit_record(scores, inputs=[*inputs, entry])
    found = {fault.product: fault.reason for fault in faults(study())}
    assert list(found) == [str(CHAIN / "lstm/evaluation/short.json")]
    assert (
        f"made of another probe than {probes}" in found[str(CHAIN / "lstm/evaluation/short.json")]
    )


def test_tables_need_only_what_their_scores_were_made_of(copied):
    """Without predictors nothing in a table reads slots, which may be made anew meanwhile."""
    alone = study(study__predictors=[], study__evaluation=[])
    edit_record(CHAIN / "slots/train.provenance.json", code="0")
    with pytest.raises(ValueError, match=r"slots/train\.h5: made with other code"):
        check_products(alone)
    check_products(alone, only_scored=True)
    with pytest.raises(ValueError, match=r"slots/train\.h5: made with other code"):
        check_products(study(), only_scored=True)  # predictors were trained on them


def test_products_that_are_not_there_are_no_fault(copied):
    (CHAIN / "lstm/predictor.pt").unlink()
    assert list(faults(study(predictors__lstm__training__learning_rate=1e-3))) == []


def test_the_refusal_says_what_to_do(copied):
    changed = study(predictors__lstm__training__learning_rate=1e-3)
    with pytest.raises(ValueError, match="are not mixed with the others") as error:
        check_products(changed)
    assert str(CHAIN / "lstm/predictor.pt") in str(error.value)
    assert f"snakemake --cores 2 --forcerun {CHAIN}/lstm/predictor.pt" in str(error.value)


def test_the_figures_are_those_that_the_workflow_makes(finished_study):
    made = {
        str(path.relative_to(finished_study.folder))
        for path in (finished_study.folder / "results").rglob("figures/*.png")
    }
    found = figures(study())
    assert set(found) <= made
    also = tuple(f"_{video}.png" for video in ("video1", "best", "median", "worst", "tracks"))
    assert {path for path in made if not path.endswith(also)} == set(found)


def test_a_damaged_record_is_told_and_stops_nothing_else(copied, finished_study):
    (CHAIN / "lstm/provenance.json").write_text("")
    edit_record(CHAIN / "ocvp_par/provenance.json", made_by={})
    found = list(faults(study()))
    models = [CHAIN / name / "predictor.pt" for name in ("lstm", "ocvp_par")]
    assert [fault.product for fault in found] == list(map(str, models))
    assert all("its record is damaged" in fault.reason for fault in found)
    assert other_versions(study()) == ""
    assert damaged_records(study()).splitlines()[1:] == [
        f"  {CHAIN}/lstm/provenance.json cannot be read as JSON: Expecting value: line 1 column 1 "
        "(char 0); make its product again",
        f"  {CHAIN}/ocvp_par/provenance.json is damaged: made_by.versions: field required; make "
        "its product again",
    ]


DAMAGES = {
    "empty": b"",
    "cut": b'{"format": "ocvp provenance 1", "rule": "fit',
    "of another type": b"[1, 2]",
    "a number": b"5",
    "without keys": b"{}",
    "no text": bytes(range(128, 256)),
    "deep": b"[" * 100_000,
    "not finite": b'{"seconds": NaN}',
    "a folder": None,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_whatever_became_of_the_records_the_workflow_names_them_and_goes_on(copied, damage):
    """All records at once, of each kind."""
    (CHAIN / "origin.json").write_text("{}")
    paths = [path for path in Path("results").rglob("*.json") if path.name.endswith(RECORDS)]
    assert len(paths) > 30
    for path in paths:
        path.unlink()
        path.mkdir() if damage is None else path.write_bytes(damage)
    show_differences(study())
    told = damaged_records(study())
    assert "results/tiny/videos/train.provenance.json" in told
    assert "and 16 more" in told
    with pytest.raises(ValueError, match="its record is damaged"):
        check_products(study())
    jobs = [Job("fit_savi", {}, 1, Path(f"logs/{CHAIN}/savi.pt/fit_savi.tsv"))]
    estimate_seconds(jobs, Path.cwd(), 1)


RECORDS = ("provenance.json", "manifest.json", "origin.json", "training_time.json")


def test_videos_whose_record_is_damaged_are_named_and_stop_nothing(copied, finished_study):
    Path("results/tiny/videos/train.provenance.json").write_bytes(DAMAGES["cut"])
    Path(CHAIN / "origin.json").write_text("[]")
    assert [fault.product for fault in faults(study())] == [str(CHAIN / "savi.pt")]
    run = run_snakemake(*("--dry-run", "--configfile", TINY), folder=copied, **of(finished_study))
    assert run.status == 0, run.text
    assert run.text.count("videos/train.provenance.json cannot be read as JSON") == 1
    assert run.text.count("origin.json is damaged: it holds no mapping") == 1
    assert "Nothing to be done" in run.text


def test_videos_without_a_record_are_those_of_an_importing_workflow(copied):
    Path("results/tiny/videos/train.provenance.json").unlink()
    assert list(faults(study())) == []


def test_a_precision_that_another_machine_chose_makes_nothing_stale(copied):
    path = CHAIN / "savi.pt"
    record = json.loads(path.with_name("provenance.json").read_text())
    assert (record["config"]["training"]["precision"], record["precision"]) == ("auto", "float32")
    edit_record(path.with_name("provenance.json"), precision="bfloat16")
    assert list(faults(study())) == []
    check_products(study())


def test_other_weights_from_outside_are_told(copied):
    shutil.copy(CHAIN / "savi.pt", "given.pt")
    found = {
        fault.product: fault.reason for fault in faults(study(savi__small__start_from="given.pt"))
    }
    assert found == {
        str(CHAIN / "savi.pt"): "made of other raw files or weights than the config names"
    }


def test_products_that_snakemake_knows_are_left_to_it(copied):
    changed = study(
        predictors__lstm__training__learning_rate=1e-3, savi__small__evaluation__num_frames=5
    )
    assert unknown_faults(changed) == ""
    name = urlsafe_b64encode(str(CHAIN / "evaluation.json").encode()).decode()
    (Path(".snakemake/metadata") / name).unlink()
    text = unknown_faults(changed)
    assert f"{CHAIN}/evaluation.json: made with another config" in text
    assert "lstm" not in text


# --- versions -----------------------------------------------------------------------------------


def test_other_versions_are_told_and_a_build_of_the_same_is_none(copied):
    assert other_versions(study()) == ""
    for name in ("lstm", "ocvp_par"):
        edit_record(CHAIN / name / "provenance.json", made_by__versions__torch="2.14.0+cu130")
    text = other_versions(study())
    assert "2 products made with torch 2.14.0 (now " in text
    assert str(CHAIN / "lstm/predictor.pt") in text


def test_a_changed_version_is_reported_and_nothing_is_run(copied, finished_study):
    edit_record(CHAIN / "provenance.json", made_by__versions__numpy="1.0.0")
    run = run_snakemake(
        *("--cores", "1", "--configfile", TINY), folder=copied, **of(finished_study)
    )
    assert run.status == 0, run.text
    assert "1 product made with numpy 1.0.0 (now " in run.text
    assert "Nothing to be done" in run.text


# --- results that were copied without .snakemake ------------------------------------------------


def test_results_without_snakemakes_records_are_not_mixed_into_tables(
    copied, finished_study, tmp_path
):
    shutil.rmtree(copied / ".snakemake")
    override = tmp_path / "override.yaml"
    override.write_text("predictors: {lstm: {training: {learning_rate: 1.0e-3}}}")
    dry = run_snakemake(
        *("--dry-run", "--configfile", TINY, override),
        folder=copied,
        **of(finished_study),
    )
    assert "Snakemake has no records of these products" in dry.text
    assert f"{CHAIN}/lstm/predictor.pt: made with another config" in dry.text
    Path("results/summary.csv").unlink()
    run = run_snakemake(
        *("summarize", "--cores", "1", "--configfile", TINY, override),
        folder=copied,
        **of(finished_study),
        environment=finished_study.environment,
    )
    assert run.status == 1
    assert "these products do not belong to the study as it is now" in run.text
    assert f"{CHAIN}/lstm/predictor.pt: made with another config" in run.text
    assert not Path("results/summary.csv").exists()


def test_the_same_config_is_summarized_without_snakemakes_records(copied, finished_study):
    shutil.rmtree(copied / ".snakemake")
    former = Path("results/summary.csv").read_text()
    Path("results/summary.csv").unlink()
    run = run_snakemake(
        *("summarize", "--cores", "1", "--configfile", TINY),
        folder=copied,
        **of(finished_study),
        environment=finished_study.environment,
    )
    assert run.status == 0, run.text
    assert "Snakemake has no records" not in run.text
    assert Path("results/summary.csv").read_text() == former


def test_with_snakemakes_records_nothing_is_said_and_what_is_stale_is_made_anew(
    copied, finished_study, tmp_path
):
    override = tmp_path / "override.yaml"
    override.write_text("predictors: {lstm: {training: {learning_rate: 1.0e-3}}}")
    stale = stale_jobs([TINY, override], folder=copied, **of(finished_study))
    assert {job.rule for job in stale} >= {"fit_predictor", "summarize"}
