"""What rules ask of a job, from its wildcards: written out by hand for a small study."""

import contextlib
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake_runs import PROJECT
from staleness_raw import write_raw_files

from ocvp.config.whole import read_config
from ocvp.data import size_memory
from ocvp.data.raw_videos import MissingDataError
from ocvp.study.chains import (
    any_of,
    chains,
    drawn_videos,
    names_of,
    num_rollouts,
    paths,
    slot_splits,
    video_splits,
)
from ocvp.study.jobs import Jobs

STUDY = PROJECT / "tests/helpers/staleness.yaml"
TINY = PROJECT / "tests/helpers/tiny.yaml"


class Wildcards(SimpleNamespace):
    """A job's wildcards, as Snakemake gives them."""

    def items(self) -> Any:
        return vars(self).items()


def config_of(path: Path = STUDY, **changes: Any) -> Any:
    return read_config(yaml.safe_load(path.read_text(encoding="utf-8")) | changes)


@pytest.fixture
def jobs(tmp_path: Path) -> Any:
    write_raw_files(tmp_path)
    config = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    config["datasets"]["obj3d"]["videos_per_chunk"] = 2  # of three
    with contextlib.chdir(tmp_path):
        yield Jobs(read_config(config))


CHAIN = {"dataset": "first", "savi": "small", "seed": "1"}


def test_what_makes_a_job_stale(jobs):
    small = Wildcards(**CHAIN)
    assert json.loads(jobs.config_part("fit_savi", small)).keys() == {"model", "training"}
    first, obj3d = (Wildcards(dataset=name, split="val") for name in ("first", "obj3d"))
    codes = {jobs.code("make_videos", first), jobs.code("make_videos", obj3d)}
    assert len(codes | {jobs.code("fit_savi", small)}) == 3, "each kind of data set has its own"


def test_expressions_for_names_match_these_alone():
    config = config_of()
    assert names_of(config.savi, is_pretrained=True) == "fetched"
    assert "fetched" not in names_of(config.savi, is_pretrained=False).split("|")
    assert re.fullmatch(any_of(["a-1.5", "b"]), "a-1x5") is None
    assert re.fullmatch(any_of([]), "") is None, "no names: nothing"


def test_videos_are_made_in_chunks(jobs):
    first = Wildcards(dataset="first", split="train")
    assert jobs.video_chunks(first)[0] == "results/first/videos/train/chunk0.h5"
    obj3d = Wildcards(dataset="obj3d", split="val", chunk="0")
    assert jobs.raw_root(obj3d) == "raw/OBJ3D"
    assert jobs.raw_root(first) == "."
    assert jobs.raw_digest(first) == "", "simulated"
    assert len(jobs.raw_digest(obj3d)) == 64
    assert jobs.listing("obj3d", "val") is jobs.listing("obj3d", "val"), "listed once"


def test_the_digest_of_a_chunk_is_of_its_own_files(jobs):
    chunks = [Wildcards(dataset="obj3d", split="val", chunk=str(chunk)) for chunk in (0, 1)]
    before = [jobs.chunk_digest(chunk) for chunk in chunks]
    assert len(jobs.video_chunks(chunks[0])) == 2
    with Path("raw/OBJ3D/val/10/test_1.png").open("a") as file:  # the last of three videos
        file.write("more")
    jobs.listing.cache_clear()
    after = [jobs.chunk_digest(chunk) for chunk in chunks]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_sizes_are_remembered_from_one_parse_to_the_next(jobs, monkeypatch):
    monkeypatch.setattr(size_memory, "SETTLED_SECONDS", -1.0)
    obj3d = Wildcards(dataset="obj3d", split="val")
    digest = jobs.raw_digest(obj3d)
    monkeypatch.setattr(size_memory, "size_of", None)
    jobs.listing.cache_clear()
    assert jobs.raw_digest(obj3d) == digest


def test_missing_raw_files_are_named_with_their_data_set(jobs):
    for path in sorted(Path("raw/OBJ3D/val").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(ValueError, match=r"^datasets\.obj3d: .*raw/OBJ3D/val is empty"):
        jobs.raw_digest(Wildcards(dataset="obj3d", split="val"))


def test_slots_of_a_split_that_fits_one_job_have_no_chunks(jobs):
    assert jobs.slot_chunks(Wildcards(**CHAIN, split="train")) == []


def test_slots_of_a_large_split_are_cut():
    config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    (savi,) = config["savi"].values()
    savi["extraction"] = {"videos_per_chunk": 2}
    (name,), (dataset,) = config["savi"], config["datasets"]
    found = Jobs(read_config(config)).slot_chunks(
        Wildcards(dataset=dataset, savi=name, seed="1", split="val")
    )
    num_videos = config["datasets"][dataset]["num_videos"]["val"]
    folder = f"results/{dataset}/{name}/seed1/slots/val"
    assert found == [f"{folder}/chunk{chunk}.h5" for chunk in range(-(-num_videos // 2))]


def test_chunks_of_slots_are_joined_without_a_gpu():
    config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    config["resources"] = {"encode_slots": {"gpu": 1}}
    (name,), (dataset,) = config["savi"], config["datasets"]
    wildcards = Wildcards(dataset=dataset, savi=name, seed="1", split="val")
    assert Jobs(read_config(config)).extraction_gpus(wildcards) == 1
    config["savi"][name]["extraction"] = {"videos_per_chunk": 2}
    assert Jobs(read_config(config)).extraction_gpus(wildcards) == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 3),
        ({"resources": {"fit_savi": {"gpu": 2}}}, 6),
        ({"resources": {"fit_savi": {"gpu": 2}}, "runtime": {"processes": 4}}, 12),
        ({"resources": {"fit_savi": {"gpu": 2, "threads": 5}}}, 5),
    ],
)
def test_a_training_has_the_threads_of_all_its_processes(changes, expected):
    config = yaml.safe_load(TINY.read_text(encoding="utf-8")) | changes
    (name,), (dataset,) = config["savi"], config["datasets"]
    config["savi"][name]["training"]["num_threads"] = 3
    wildcards = Wildcards(dataset=dataset, savi=name, seed="1")
    assert Jobs(read_config(config)).training_threads("fit_savi", wildcards) == expected


def test_what_models_are_made_of(jobs):
    names = {"dataset": "second", "seed": "1"}
    fetched, tuned = (Wildcards(savi=savi, **names) for savi in ("fetched", "tuned"))
    assert jobs.origin_product(fetched) == []
    assert jobs.origin_options(fetched)[:2] == [
        "--checkpoint",
        "raw/published/models/checkpoint.pth",
    ]
    assert jobs.origin_options(tuned) == ["--checkpoint", "raw/mine/savi.pt"]
    assert jobs.origin_options(Wildcards(**CHAIN)) == []
    assert jobs.origin_digest(Wildcards(**CHAIN)) == ""
    assert jobs.origin_digest(fetched) != jobs.origin_digest(tuned) != ""
    assert jobs.entry(Wildcards(**CHAIN, predictor="lstm")).kind == "lstm"


def test_a_model_of_the_study_is_an_input_of_what_is_made_of_it():
    config = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    made = "results/first/small/seed1/savi.pt"
    config["savi"]["tuned"]["start_from"] = f"./{made}"
    jobs, tuned = Jobs(read_config(config)), Wildcards(dataset="second", savi="tuned", seed="1")
    assert jobs.origin_product(tuned) == [made]
    assert jobs.origin_digest(tuned) == "", "Snakemake follows inputs itself"
    config["savi"]["small"]["start_from"] = made
    with pytest.raises(ValueError, match="lies where the model that is made of it is written to"):
        Jobs(read_config(config)).origin_product(Wildcards(**CHAIN))


def test_what_is_scored(jobs):
    short = Wildcards(**CHAIN, predictor="lstm", protocol="short")
    assert jobs.scored_videos(short) == "results/first/videos/test.h5"
    assert jobs.protocol_videos(short) == "results/first/videos/test.h5"
    assert jobs.protocol_slots(short) == "results/first/small/seed1/slots/test.h5"
    scores = [
        f"results/first/small/seed1/{name}/evaluation/short.json" for name in ("lstm", "ocvp")
    ]
    assert sorted(jobs.protocol_scores(short)) == scores


def test_slots_are_extracted_of_what_is_trained_on_and_of_what_is_scored():
    study = config_of(TINY).study[0].model_copy(update={"evaluation": ["short"]})
    config = config_of(TINY, study=study.model_dump())
    assert config.evaluation["short"].split == "test"
    (chain,) = chains(config)
    assert slot_splits(config, chain) == ["test", "train", "val"]
    assert video_splits(config, chain) == ["test", "train", "val"]


def test_paths_of_all_chains_for_every_wildcard_of_a_pattern():
    config = config_of(TINY)
    (dataset,), (savi,) = config.datasets, config.savi
    assert paths(config, "{dataset}/{savi}/seed{seed}") == [f"{dataset}/{savi}/seed1"]
    assert paths(config, "{predictor}") == sorted(config.predictors)
    pairs = [f"{p}/{e}" for p in config.predictors for e in config.evaluation]
    assert paths(config, "{predictor}/{protocol}") == sorted(pairs)
    videos = [f"{e}_{video}" for e in config.evaluation for video in range(2)]
    assert paths(config, "{protocol}_{video}", video=["0", "1"]) == sorted(videos)
    assert paths(config, "{protocol}_video0") == sorted(f"{e}_video0" for e in config.evaluation)


def test_no_more_rollouts_are_drawn_than_a_scored_split_has_videos():
    config = config_of(TINY, figures={"num_videos": 3})
    assert {protocol.split for protocol in config.evaluation.values()} == {"test", "val"}

    def drawn(**numbers: int) -> int:
        return num_rollouts(config, lambda dataset, split: numbers[split])

    assert drawn(test=2, val=5) == drawn(test=5, val=2, train=1) == 2
    assert drawn(test=3, val=9) == drawn(test=4, val=5) == 3
    names = ["video0", "video1", "best", "median", "worst"]
    assert drawn_videos(config, lambda dataset, split: 2) == names


def test_videos_are_counted_as_they_lie_there_or_as_they_once_did(jobs):
    splits = ("train", "val", "test")
    counts = [[jobs.num_videos(name, split) for split in splits] for name in ("obj3d", "own")]
    assert counts == [[3, 3, 3], [2, 1, 1]]
    shutil.rmtree("raw/OBJ3D/val")
    jobs.listing.cache_clear()
    with pytest.raises(ValueError, match="val does not exist"):
        jobs.num_videos("obj3d", "val")
    Path("results/obj3d/videos").mkdir(parents=True)
    record = {"num_videos": 7, "digest": "x"}
    Path("results/obj3d/videos/val.manifest.json").write_text(json.dumps(record))
    assert jobs.num_videos("obj3d", "val") == 7


def test_a_missing_data_set_limits_no_figures():
    def missing(dataset: str, split: str) -> int:
        raise MissingDataError(f"{dataset} is elsewhere")

    assert num_rollouts(config_of(TINY, figures={"num_videos": 3}), missing) == 3
