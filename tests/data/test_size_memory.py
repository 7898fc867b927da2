"""Sizes that are remembered: which files are looked at again, and what that gives up."""

import json
import os
from pathlib import Path

import pytest

from ocvp.config.datasets import DatasetStage
from ocvp.config.section import validate
from ocvp.data import size_memory
from ocvp.data.raw_files import list_videos, listing, manifest

EPISODES = (1, 2, 10)
NUM_FRAMES = 6  # of which every second is read


def picture(root, episode, frame):
    return Path(root, f"val/{episode}/test_{frame}.png")


class Tree:
    """An OBJ3D tree, its memory, and the manifest of a conversion."""

    def __init__(self, folder):
        self.root, self.memory = folder / "OBJ3D", folder / "memory" / "val.json"
        self.record = folder / "val.manifest.json"
        for episode in EPISODES:
            for frame in range(1, NUM_FRAMES + 1):
                path = picture(self.root, episode, frame)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(10 * episode + frame))
        values = {"kind": "obj3d", "root": str(self.root), "num_frames": 3, "stride": 2}
        self.dataset = validate(DatasetStage, values).root

    def digest(self, **changes):
        """Return the digest of a new parse."""
        dataset = self.dataset.model_copy(update=changes)
        return listing(dataset, "val", self.record, self.memory).digest

    def true_digest(self, **changes):
        dataset = self.dataset.model_copy(update=changes)
        return manifest(dataset, list_videos(dataset, "val"))["digest"]

    def convert(self):
        found = manifest(self.dataset, list_videos(self.dataset, "val"))
        self.record.write_text(json.dumps(found), encoding="utf-8")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr(size_memory, "SETTLED_SECONDS", -1.0)  # what was just written counts too
    return Tree(tmp_path)


@pytest.fixture
def looked_at(monkeypatch):
    """The paths that the system was asked about, in order."""
    paths = []
    real = os.stat

    def stat(path, *arguments, **options):
        paths.append(str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    return paths


def test_each_file_is_looked_at_once_and_then_one_of_each_folder(tree, looked_at):
    before = tree.digest()
    asked = {str(picture(tree.root, episode, frame)) for episode in EPISODES for frame in (1, 3, 5)}
    assert asked <= set(looked_at)
    looked_at.clear()
    assert tree.digest() == before
    pictures = [path for path in looked_at if path.endswith(".png")]
    assert pictures == [str(picture(tree.root, episode, 1)) for episode in EPISODES]
    assert before == tree.true_digest()


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def replace(path):
    """Write a file as downloads and most programs do: under another name, then renamed."""
    other = path.with_suffix(".part")
    other.write_bytes(bytes(1000))
    other.rename(path)


def copy_over(path):
    """Put another folder in place of this one, with the times of this one."""
    folder = path.parent
    times = folder.stat()
    old, new = folder.with_name("old"), folder.with_name("new")
    new.mkdir()
    for file in folder.iterdir():
        (new / file.name).write_bytes(bytes(2000) if file == path else file.read_bytes())
        os.utime(new / file.name, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    folder.rename(folder.parents[2] / old.name)
    new.rename(folder)
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(("change", "frame"), [(grow, 1), (replace, 3), (copy_over, 5)])
def test_what_changes_a_folder_or_its_first_file_is_noticed(tree, change, frame):
    before = tree.digest()
    change(picture(tree.root, 2, frame))
    assert tree.digest() == tree.true_digest() != before


def test_other_names_are_looked_at(tree):
    tree.digest()
    for stride in (1, 2):
        assert tree.digest(stride=stride) == tree.true_digest(stride=stride)


def test_a_file_that_was_deleted_is_named(tree):
    tree.digest()
    picture(tree.root, 10, 5).unlink()
    with pytest.raises(ValueError, match=r"val/10/test_5\.png cannot be read \(No such file"):
        tree.digest()


def test_one_file_that_is_rewritten_in_place_is_noticed_by_a_conversion(tree):
    before = tree.digest()
    grow(picture(tree.root, 2, 3))
    assert tree.digest() == before != tree.true_digest(), "this is given up"
    tree.convert()
    assert tree.digest() == tree.true_digest() != before
    assert tree.digest() == tree.true_digest(), "and is remembered"


def test_what_changed_after_a_conversion_stays_noticed(tree):
    tree.digest()
    tree.convert()
    replace(picture(tree.root, 2, 3))
    for _ in range(2):
        assert tree.digest() == tree.true_digest() != json.loads(tree.record.read_text())["digest"]


def test_sizes_are_not_kept_while_files_may_be_written_to(tree, monkeypatch):
    monkeypatch.setattr(size_memory, "SETTLED_SECONDS", 2.0)
    tree.digest()
    grow(picture(tree.root, 2, 3))
    assert tree.digest() == tree.true_digest()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"val/2/test_1.png": 5}', "null", "\0"])
def test_a_damaged_memory_is_an_empty_one(tree, text):
    before = tree.digest()
    tree.memory.write_text(text, encoding="utf-8")
    grow(picture(tree.root, 2, 3))
    assert tree.digest() == tree.true_digest() != before


def test_where_nothing_can_be_kept_each_parse_looks_at_all(tree):
    tree.memory.parent.write_text("no folder", encoding="utf-8")
    tree.digest()
    grow(picture(tree.root, 2, 3))
    assert tree.digest() == tree.true_digest()


def test_a_film_is_always_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(size_memory, "SETTLED_SECONDS", -1.0)
    film = tmp_path / "films/val/a.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"short")
    values = {"kind": "folder", "root": str(tmp_path / "films"), "num_frames": 2}
    films = validate(DatasetStage, values).root
    paths = ("val", tmp_path / "none.json", tmp_path / "memory.json")
    before = listing(films, *paths).digest
    grow(film)
    assert listing(films, *paths).digest != before
