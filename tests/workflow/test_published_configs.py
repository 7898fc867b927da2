"""The published configs before anything runs: what they would make, and what they miss."""

from raw_movi import unpack_movi
from raw_trees import write_obj3d
from snakemake_runs import Job, jobs_in, run_snakemake
from test_experiments import KINDS, configs


def test_all_models_of_both_data_sets_would_be_trained(tmp_path):
    write_obj3d(tmp_path / "data/OBJ3D", {"train": 6, "val": 3, "test": 3})
    unpack_movi(tmp_path / "data/tfds")
    run = run_snakemake("--dry-run", "--configfile", *configs("published"), folder=tmp_path)
    assert run.status == 0, run.text
    chains = {name: f"results/{name}/savi_{name}/seed0" for name in ("obj3d", "movi_a")}
    trained = {Job("fit_savi", f"{chain}/savi.pt") for chain in chains.values()} | {
        Job("fit_predictor", f"{chain}/{kind}_{name}/predictor.pt")
        for name, chain in chains.items()
        for kind in KINDS
    }
    assert {job for job in jobs_in(run.text) if job.rule.startswith("fit")} == trained


def test_a_data_set_that_is_not_there_is_explained_before_anything_runs(tmp_path):
    run = run_snakemake("--cores", "1", "--configfile", *configs("movi_a"), folder=tmp_path)
    assert run.status == 1
    for part in (
        "datasets.movi_a: data/tfds holds no movi_a-",
        "data/tfds/movi_a/128x128/1.0.0/movi_a-",
        "about 59 GB",
        "gsutil",
    ):
        assert part in run.text
    assert not list(tmp_path.rglob("*.h5"))
