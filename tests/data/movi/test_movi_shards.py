"""Folders as downloads leave them: only exact shards are read, and what else lies there is told."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from raw_movi import unpack_movi

from ocvp.config.datasets import DatasetStage
from ocvp.data.movi.files import TOLD
from ocvp.data.raw_files import list_videos, listing
from ocvp.data.raw_videos import MissingDataError

VERSION = "movi_a/128x128/1.0.0"
TRAIN = "movi_a-train.tfrecord-0000{}-of-00002"


@pytest.fixture(autouse=True)
def told_nothing(monkeypatch):
    monkeypatch.setenv(TOLD, "")


def write_version(folder, lengths=None):
    """Write empty shards, whose numbers of records dataset_info.json says."""
    folder.mkdir(parents=True)
    lengths = lengths or {"train": (2, 3), "validation": (3, 2)}
    splits = [
        {"name": name, "shardLengths": list(map(str, each))} for name, each in lengths.items()
    ]
    (folder / "dataset_info.json").write_text(json.dumps({"splits": splits}), encoding="utf-8")
    for name, each in lengths.items():
        for shard in range(len(each)):
            (folder / f"movi_a-{name}.tfrecord-{shard:05d}-of-{len(each):05d}").touch()
    return folder


@pytest.fixture
def version(tmp_path):
    return write_version(tmp_path / VERSION)


@pytest.fixture
def movi(tmp_path):
    return DatasetStage.model_validate({"kind": "movi", "root": str(tmp_path)}).root


LEFT = {
    "wget's second copy": TRAIN.format(0) + ".1",
    "a browser's second copy": TRAIN.format(1) + " (1)",
    "a browser's, before the ending": TRAIN.format(0).replace("train", "train (1)"),
    "a file manager's copy": "Copy of " + TRAIN.format(0),
    "gsutil's half file": TRAIN.format(0) + "_.gstmp",
    "a half file": TRAIN.format(1) + ".part",
    "rsync's half file": f".{TRAIN.format(1)}.a8Bx3q",
    "another number of digits": "movi_a-train.tfrecord-000000-of-00002",
    "a shard of digits that are no ASCII": "movi_a-train.tfrecord-0000\u0660-of-00002",
    "a copy of the other split": "movi_a-validation.tfrecord-00000-of-00002~",
}


@pytest.mark.parametrize("name", LEFT.values(), ids=LEFT.keys())
def test_copies_and_half_files_are_told_once_and_not_read(movi, version, caplog, name):
    plain = {split: list_videos(movi, split) for split in ("train", "val", "test")}
    assert [len(plain[split]) for split in plain] == [5, 3, 2]
    assert not caplog.records
    (version / name).write_bytes(b"half")
    for split, expected in plain.items():
        assert list_videos(movi, split) == expected
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert name in record.getMessage()
    assert str(version) in record.getMessage()


def test_what_the_workflow_told_its_jobs_do_not_tell_again(movi, version, caplog, monkeypatch):
    shutil.copy(version / TRAIN.format(0), version / f"{TRAIN.format(0)}.1")
    list_videos(movi, "train")
    inherited = os.environ[TOLD]
    caplog.clear()
    monkeypatch.setenv(TOLD, inherited)  # of a process that this one starts
    list_videos(movi, "train")
    assert not caplog.records
    (version / f"{TRAIN.format(1)}.1").touch()
    list_videos(movi, "train")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("ending", [".md5", ".sha256", ".crc32c"])
def test_checksums_belong_beside_shards(movi, version, caplog, ending):
    (version / (TRAIN.format(0) + ending)).write_text("0" * 32)
    (version / "md5sums.txt").touch()
    assert len(list_videos(movi, "train")) == 5
    assert not caplog.records


def test_many_leftovers_are_counted(movi, version, caplog):
    for number in range(9):
        (version / f"{TRAIN.format(0)}.{number}").touch()
    list_videos(movi, "train")
    (record,) = caplog.records
    assert f"{TRAIN.format(0)}.4, ... (9 in all); delete" in record.getMessage()


@pytest.mark.parametrize("ending", [".1", "_.gstmp"])
def test_a_shard_that_is_there_as_a_copy_only_is_missing(movi, version, ending):
    (version / TRAIN.format(1)).rename(version / (TRAIN.format(1) + ending))
    with pytest.raises(ValueError, match=r"lacks 1 of 2 shards of movi_a-train\.tfrecord") as error:
        list_videos(movi, "train")
    assert f"(00001); no shards are {TRAIN.format(1)}{ending}; get them" in str(error.value)


def test_without_any_shard_the_files_that_look_like_some_are_named(movi, tmp_path):
    folder = tmp_path / VERSION
    folder.mkdir(parents=True)
    (folder / f"{TRAIN.format(0)}.part").touch()
    with pytest.raises(
        MissingDataError, match=r"tfrecord-\*-of-\*; no shards are .*00002\.part\.\n"
    ):
        list_videos(movi, "train")


def test_a_folder_or_a_broken_link_is_no_shard(movi, version):
    (version / TRAIN.format(1)).unlink()
    (version / TRAIN.format(1)).symlink_to(version / "gone")
    with pytest.raises(ValueError, match="lacks 1 of 2 shards"):
        list_videos(movi, "train")
    (version / TRAIN.format(1)).unlink()
    (version / TRAIN.format(1)).mkdir()
    with pytest.raises(ValueError, match="lacks 1 of 2 shards"):
        list_videos(movi, "train")


def test_a_number_beyond_those_of_the_split_is_refused(movi, version):
    (version / TRAIN.format(4)).touch()
    with pytest.raises(ValueError, match=r"train.tfrecord-00004-of-00002, beyond its 2"):
        list_videos(movi, "train")


# --- several folders ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1.0.0.incompleteAB12CD", "1.0.0 (1)", "1.0.0.bak", "2.0.0"])
@pytest.mark.parametrize("shards", [1, 2])
def test_a_complete_version_wins(movi, version, caplog, name, shards):
    """A folder that is a copy or a half, or a newer version that is not complete."""
    other = write_version(version.with_name(name))
    for split in ("train", "validation"):
        if shards == 1:
            (other / f"movi_a-{split}.tfrecord-00001-of-00002").unlink()
    videos = list_videos(movi, "train")
    if (name, shards) == ("2.0.0", 2):  # the newest of two that are complete
        assert videos[0].files[0].startswith("movi_a/128x128/2.0.0/")
        assert not caplog.records
        return
    assert videos[0].files[0] == f"{VERSION}/{TRAIN.format(0)}"
    (record,) = caplog.records
    assert f"from them: {name};" in record.getMessage()


def test_a_complete_version_wins_over_shards_beside_its_folder(movi, version, caplog):
    (version.parent / TRAIN.format(0)).touch()
    assert list_videos(movi, "train")[0].files[0].startswith(VERSION)
    assert "from them: 128x128;" in caplog.text


def test_a_complete_version_further_up_wins_over_a_half_one(movi, version, caplog):
    shutil.move(version, Path(movi.root, "1.0.0"))
    write_version(version)
    (version / TRAIN.format(0)).unlink()
    assert list_videos(movi, "train")[0].files[0] == f"1.0.0/{TRAIN.format(0)}"
    assert len(caplog.records) == 1


def test_a_folder_that_tfds_did_not_finish_is_refused_by_name(movi, version, tmp_path):
    version.rename(version.with_name("1.0.0.incompleteAB12CD"))
    for split in ("train", "val"):
        with pytest.raises(ValueError, match=r"1\.0\.0\.incompleteAB12CD is all that a download"):
            listing(movi, split, tmp_path / "none.json")


def test_an_absurd_number_of_records_is_counted_anew(tmp_path):
    path = unpack_movi(tmp_path) / VERSION / "dataset_info.json"
    path.write_text('{"splits": [{"name": "train", "shardLengths": ["9999999999999", "2"]}]}')
    config = {"kind": "movi", "root": str(tmp_path)}
    assert len(list_videos(DatasetStage.model_validate(config).root, "train")) == 4
