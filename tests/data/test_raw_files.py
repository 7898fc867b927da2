"""Listings of raw files: every video once, in numeric order; clear words for what is missing."""

import itertools
import json
from pathlib import Path

import pytest

from ocvp.config.datasets import DatasetStage
from ocvp.config.section import validate
from ocvp.data.raw_files import list_videos, listing, manifest
from ocvp.data.raw_videos import MissingDataError, RawVideo, natural_order


def dataset(**values):
    return validate(DatasetStage, values).root


def touch(folder, *names):
    for name in names:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name, encoding="utf-8")


# --- OBJ3D --------------------------------------------------------------------------------------


@pytest.fixture
def obj3d(tmp_path):
    for split in ("train", "val", "test"):
        for episode in (1, 2, 10):
            touch(tmp_path, *(f"{split}/{episode}/test_{frame}.png" for frame in range(1, 13)))
    return dataset(kind="obj3d", root=str(tmp_path), num_frames=4, stride=3)


def test_every_episode_is_listed_in_numeric_order_with_the_frames_that_are_read(obj3d):
    videos = list_videos(obj3d, "val")
    assert [video.name for video in videos] == ["1", "2", "10"]
    assert videos[2].files == tuple(f"val/10/test_{frame}.png" for frame in (1, 4, 7, 10))


def test_the_most_videos_are_the_first_ones(obj3d):
    fewer = obj3d.model_copy(update={"max_videos": obj3d.max_videos.model_copy(update={"val": 2})})
    assert [video.name for video in list_videos(fewer, "val")] == ["1", "2"]
    assert len(list_videos(fewer, "train")) == 3


def test_a_missing_frame_is_named(obj3d):
    frame = Path(obj3d.root, "val/2/test_7.png")
    frame.unlink()
    with pytest.raises(ValueError, match=r"val/2/test_7\.png cannot be read \(No such file"):
        manifest(obj3d, list_videos(obj3d, "val"))


def test_a_frame_that_is_not_read_may_be_missing(obj3d):
    Path(obj3d.root, "val/2/test_6.png").unlink()
    assert manifest(obj3d, list_videos(obj3d, "val"))["num_files"] == 12


def test_a_folder_that_is_no_episode_is_named(obj3d):
    touch(obj3d.root, "val/copy of 3/test_1.png")
    with pytest.raises(ValueError, match="copy of 3 is no episode"):
        list_videos(obj3d, "val")


def test_without_the_data_the_message_says_what_is_expected_where_and_from_where():
    missing = dataset(kind="obj3d", root="/nowhere/OBJ3D")
    with pytest.raises(MissingDataError) as error:
        list_videos(missing, "train")
    text = str(error.value)
    for part in ("/nowhere/OBJ3D/train does not exist", "test_1.png", "2,920", "G-SWM"):
        assert part in text


# --- MOVi ---------------------------------------------------------------------------------------


def write_shards(folder, variant="movi_a", lengths=(("train", (2, 3)), ("validation", (3, 2)))):
    splits = []
    for split, shard_lengths in lengths:
        splits.append({"name": split, "shardLengths": [str(length) for length in shard_lengths]})
        for shard in range(len(shard_lengths)):
            total = len(shard_lengths)
            touch(folder, f"{variant}-{split}.tfrecord-{shard:05d}-of-{total:05d}")
    Path(folder, "dataset_info.json").write_text(json.dumps({"splits": splits}), encoding="utf-8")


def names(videos):
    return [(video.files[0].rpartition("tfrecord-")[2], video.record) for video in videos]


@pytest.fixture
def movi(tmp_path):
    write_shards(tmp_path / "movi_a/128x128/1.0.0")
    return dataset(kind="movi", root=str(tmp_path))


def test_every_record_of_every_shard_is_listed(movi):
    zero, one = "00000-of-00002", "00001-of-00002"
    expected = [(zero, 0), (zero, 1), (one, 0), (one, 1), (one, 2)]
    assert names(list_videos(movi, "train")) == expected


def test_the_validation_split_is_divided_into_even_and_odd_videos(movi):
    zero, one = "00000-of-00002", "00001-of-00002"
    assert names(list_videos(movi, "val")) == [(zero, 0), (zero, 2), (one, 1)]
    assert names(list_videos(movi, "test")) == [(zero, 1), (one, 0)]


def test_as_published_both_are_the_whole_validation_split(movi):
    published = movi.model_copy(update={"splits": "published"})
    assert list_videos(published, "val") == list_videos(published, "test")
    assert len(list_videos(published, "val")) == 5


def test_a_test_split_of_its_own_is_used_where_there_is_one(tmp_path):
    lengths = (("train", (1,)), ("validation", (2,)), ("test", (3,)))
    write_shards(tmp_path / "movi_c/128x128/1.0.0", "movi_c", lengths)
    own = dataset(kind="movi", variant="movi_c", splits="own", root=str(tmp_path))
    assert [len(list_videos(own, split)) for split in ("train", "val", "test")] == [1, 2, 3]


def test_the_root_may_point_anywhere_into_the_tree_and_does_not_count(movi):
    digests = set()
    for inner in ("", "movi_a", "movi_a/128x128", "movi_a/128x128/1.0.0"):
        deeper = movi.model_copy(update={"root": str(Path(movi.root, inner))})
        videos = list_videos(deeper, "train")
        assert len(videos) == 5
        digests.add(manifest(deeper, videos)["digest"])
    assert len(digests) == 1


def test_parts_of_one_shard_have_digests_of_their_own(movi, tmp_path):
    found = listing(movi, "train", tmp_path / "none.json")
    assert found.part_digest(2, 4) != found.part_digest(3, 5)
    assert found.part_digest(2, 4) == found.part_digest(2, 4)


def test_of_several_versions_the_newest_is_taken(tmp_path):
    write_shards(tmp_path / "movi_a/128x128/1.2.0")
    write_shards(tmp_path / "movi_a/128x128/1.10.0", lengths=(("train", (7,)),))
    assert len(list_videos(dataset(kind="movi", root=str(tmp_path)), "train")) == 7


def test_a_missing_shard_is_named(movi):
    Path(movi.root, "movi_a/128x128/1.0.0/movi_a-train.tfrecord-00000-of-00002").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 of 2 shards of movi_a-train.tfrecord \(00000\)"):
        list_videos(movi, "train")


def test_shards_of_two_downloads_are_not_mixed(movi):
    touch(movi.root, "movi_a/128x128/1.0.0/movi_a-train.tfrecord-00000-of-00003")
    with pytest.raises(ValueError, match="mixes shards of several downloads"):
        list_videos(movi, "train")


def test_without_movi_the_message_says_how_to_get_it():
    with pytest.raises(MissingDataError) as error:
        list_videos(dataset(kind="movi", root="/nowhere"), "val")
    text = str(error.value)
    expected = "/nowhere/movi_a/128x128/1.0.0/movi_a-validation.tfrecord-00000-of-NNNNN"
    for part in (expected, "59 GB", "gsutil -m cp -r gs://kubric-public/tfds/movi_a/128x128"):
        assert part in text


# --- folders ------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    for video in ("clip2", "clip10", "clip1"):
        touch(tmp_path, *(f"train/{video}/{frame}.jpg" for frame in range(8, 14)))
        touch(tmp_path, *(f"masks/train/{video}/{frame}.png" for frame in range(8, 14)))
    touch(tmp_path, "train/film.mp4")
    touch(tmp_path, *(f"masks/train/film/m{frame}.png" for frame in range(6)))
    return {"kind": "folder", "root": str(tmp_path), "num_frames": 2, "start": 1, "stride": 3}


def test_folders_and_films_in_natural_order_with_the_frames_that_are_read(own):
    videos = list_videos(dataset(**own), "train")
    assert [video.name for video in videos] == ["clip1", "clip2", "clip10", "film"]
    assert videos[1].files == ("train/clip2/9.jpg", "train/clip2/12.jpg")
    assert videos[3].files == ("train/film.mp4",)


def test_masks_have_the_names_of_their_frames_and_for_a_film_its_order(own):
    videos = list_videos(dataset(**own, masks="masks", max_objects=2), "train")
    assert videos[1].masks == ("masks/train/clip2/9.png", "masks/train/clip2/12.png")
    assert videos[3].masks == ("masks/train/film/m1.png", "masks/train/film/m4.png")


def test_a_mask_that_is_missing_is_named(own):
    Path(own["root"], "masks/train/clip2/12.png").unlink()
    masked = dataset(**own, masks="masks", max_objects=2)
    with pytest.raises(ValueError, match=r"masks/train/clip2/12\.png cannot be read"):
        manifest(masked, list_videos(masked, "train"))


def test_a_video_that_is_too_short_is_named(own):
    Path(own["root"], "train/clip2/9.jpg").unlink()
    Path(own["root"], "train/clip2/10.jpg").unlink()
    with pytest.raises(ValueError, match=r"clip2 holds 4 pictures; .* num_frames 2 need 5"):
        list_videos(dataset(**own), "train")


def test_another_file_is_not_skipped_silently(own):
    touch(own["root"], "train/film.wmx")
    with pytest.raises(ValueError, match=r"film\.wmx is neither a folder of pictures nor a film"):
        list_videos(dataset(**own), "train")


def test_two_videos_of_one_name_are_refused(own):
    touch(own["root"], "train/film.avi")
    with pytest.raises(ValueError, match="train holds several videos named film"):
        list_videos(dataset(**own), "train")


def test_names_that_differ_in_zeros_have_one_order():
    names = ["clip1", "clip01", "clip001", "clip2"]
    assert sorted(names, key=natural_order) == sorted(names[::-1], key=natural_order)


def test_a_share_that_leaves_no_video_is_explained(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    own = dataset(kind="folder", root=str(tmp_path), num_frames=2, shares=shares)
    with pytest.raises(ValueError, match=r"shares.test is 0.1, which of the 3 videos"):
        list_videos(own, "test")


def test_hidden_files_are_left_alone(own):
    touch(own["root"], "train/.DS_Store", "train/__MACOSX/x.png")
    assert len(list_videos(dataset(**own), "train")) == 4


def test_shares_divide_one_folder_without_overlap_and_always_the_same_way(tmp_path):
    for video in range(20):
        touch(tmp_path, f"clip{video}.mp4")
    shares = {"train": 0.7, "val": 0.2, "test": 0.1}
    own = dataset(kind="folder", root=str(tmp_path), num_frames=2, shares=shares)
    parts = {split: [v.name for v in list_videos(own, split)] for split in shares}
    assert {split: len(part) for split, part in parts.items()} == {"train": 14, "val": 4, "test": 2}
    assert sorted(itertools.chain.from_iterable(parts.values())) == sorted(
        f"clip{video}" for video in range(20)
    )
    assert parts["test"] == ["clip14", "clip17"]  # what the shuffle gave once


# --- manifests ----------------------------------------------------------------------------------


def test_a_manifest_counts_files_and_bytes_and_depends_on_names_and_sizes_only(obj3d, tmp_path):
    videos = list_videos(obj3d, "val")
    before = manifest(obj3d, videos)
    assert before["num_files"] == 12
    assert before["num_bytes"] == sum(len(Path(name).name) for v in videos for name in v.files)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    elsewhere = obj3d.model_copy(update={"root": str(moved)})
    assert manifest(elsewhere, videos) == before
    (moved / "val/2/test_4.png").write_text("another size", encoding="utf-8")
    assert manifest(elsewhere, videos)["digest"] != before["digest"]


def test_a_shard_counts_once_though_it_holds_many_videos(movi):
    assert manifest(movi, list_videos(movi, "train"))["num_files"] == 2


def test_without_its_raw_files_a_split_is_what_it_was(obj3d, tmp_path):
    record = tmp_path / "val.manifest.json"
    videos = list_videos(obj3d, "val")
    found = listing(obj3d, "val", record)
    record.write_text(json.dumps(manifest(obj3d, videos)))
    gone = obj3d.model_copy(update={"root": "/nowhere"})
    again = listing(gone, "val", record)
    assert (again.num_videos, again.digest) == (found.num_videos, found.digest)
    assert again.part_digest(0, 1) == found.digest != found.part_digest(0, 1)
    with pytest.raises(MissingDataError):
        listing(gone, "val", tmp_path / "none.json")


def test_what_is_simulated_needs_no_files(tmp_path):
    num_videos = {"train": 3, "val": 2, "test": 1}
    toy = dataset(kind="tabletop", num_videos=num_videos)
    simulated = listing(toy, "train", tmp_path / "none.json")
    assert (simulated.num_videos, simulated.digest, simulated.part_digest(0, 2)) == (3, "", "")
    assert list_videos(toy, "test") == [RawVideo("test_00000", ())]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"num_videos": -1, "digest": "x"}', None])
def test_a_damaged_manifest_counts_as_none_and_is_named(obj3d, tmp_path, damage):
    record = tmp_path / "val.manifest.json"
    record.mkdir() if damage is None else record.write_text(damage)
    assert listing(obj3d, "val", record).num_videos > 0, "the raw files say it"
    gone = obj3d.model_copy(update={"root": str(tmp_path / "gone")})
    with pytest.raises(MissingDataError, match=r"val\.manifest\.json .*; and .*gone/val does not"):
        listing(gone, "val", record)
