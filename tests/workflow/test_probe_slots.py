"""The stage that probes, in the real workflow."""

import csv
import json

import pytest
import yaml
from conftest import TINY
from snakemake_runs import jobs_in, run_snakemake, smallest_study

CHAIN = "results/tiny/small/seed1"


@pytest.mark.slow
@pytest.mark.xdist_group("finished-study")
def test_a_finished_study_is_probed_on_demand_and_then_stands_in_its_tables(
    copied, finished_study, tmp_path
):
    override = tmp_path / "one.yaml"
    override.write_text("study: {predictors: [lstm], evaluation: [short]}")
    asked = tmp_path / "asked.yaml"
    asked.write_text("study: {predictors: [lstm], evaluation: [short], probe: true}")

    def run(*arguments):
        found = run_snakemake(
            *("--cores", "2", *arguments),
            folder=copied,
            project=finished_study.project,
            environment=finished_study.environment,
        )
        assert found.status == 0, found.text
        return sorted(job.rule for job in jobs_in(found.text))

    probing = ["draw_probes", "probe_predictor", "probe_savi"]
    assert run("probe_slots", "--configfile", TINY, override) == probing
    metrics = json.loads((copied / CHAIN / "probe.json").read_text())["metrics"]
    targets = ("position", "velocity", "size", "kind", "colour")
    names = {f"probe_{target}_{kind}" for target in targets for kind in ("linear", "mlp")}
    assert metrics.keys() == names
    assert all(entry["mean"] is not None for entry in metrics.values())
    predicted = json.loads((copied / CHAIN / "lstm/probe/short.json").read_text())["metrics"]
    assert predicted.keys() == names
    assert (copied / CHAIN / "figures/short_probe.png").stat().st_size > 1000
    # --- the default run has them once it is asked, and makes none of them again
    assert not set(probing) & set(run("--configfile", TINY, override))
    assert set(run("--configfile", TINY, asked)) == {"summarize"}
    with (copied / "results/summary.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"].startswith("probe_")]
    assert {row["metric"] for row in rows if row["predictor"] == "lstm"} == names
    assert {row["savi"] for row in rows} == {"small", "constant"}
    assert run("--configfile", TINY, asked) == []


def test_a_study_of_own_films_has_nothing_to_probe_and_says_so(tmp_path):
    config = smallest_study()
    config["datasets"]["tiny"] = {"kind": "folder", "num_frames": 8, "resolution": [16, 16]}
    config["savi"]["small"]["model"]["initializer"] = "learned_random"
    path = tmp_path / "films.yaml"
    path.write_text(yaml.safe_dump(config))
    run = run_snakemake("probe_slots", "--cores", "1", "--configfile", path, folder=tmp_path)
    assert run.status == 0, run.text
    line = "Not probed: datasets.tiny has no masks, so nothing is known of its objects."
    assert run.text.count(line) == 1
    assert not (tmp_path / "results").exists()
