"""Digests of code, on a package made for the purpose: what counts and what does not."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocvp.records import digests
from ocvp.records.digests import code_digest, import_closure, package_files_digest
from ocvp.records.rules import stage_digest

PACKAGE = {
    "__init__": '"""A package."""\n',
    "program": "import json\n\nfrom toy import shapes\nfrom toy.model import Model\n",
    "model": "class Model:\n    size = 3\n\n    def area(self):\n        return self.size**2\n",
    "shapes": "from toy.numbers import ONE\n",
    "numbers": "ONE = 1\n",
    "unused": "UNUSED = 1\n",
    "config": "DEFAULT = 1\n",
}
Digest = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package `toy`, which the digests are about."""
    folder = tmp_path / "toy"
    folder.mkdir()
    for name, source in PACKAGE.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(digests, "PACKAGE", "toy")
    monkeypatch.setattr(digests, "NOT_CODE", ("toy.config",))
    forget()
    yield folder
    forget()


def forget() -> None:
    """Forget what was read, as a new process would have it."""
    for cached in (
        digests._source,
        digests._module_digest,
        digests._read,
        digests._is_module,
    ):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def digest_after(folder: Path, **sources: str) -> str:
    """Return the digest of toy.program with other sources."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    forget()
    return code_digest("toy.program")


def test_the_closure_of_a_program(folder):
    # Written out by hand: unused is not imported, json is not the package's, config is left out.
    expected = {"toy", "toy.program", "toy.model", "toy.shapes", "toy.numbers"}
    assert import_closure("toy.program") == expected
    assert import_closure("toy.shapes") == {"toy", "toy.shapes", "toy.numbers"}
    assert import_closure("toy.shapes", "toy.unused") == {
        "toy",
        "toy.shapes",
        "toy.numbers",
        "toy.unused",
    }


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("import toy.unused", True),
        ("import toy.unused as other", True),
        ("from toy.unused import UNUSED", True),
        ("from toy import unused", True),
        ("from . import unused", True),
        ("from .unused import UNUSED", True),
        ("try:\n    import toy.unused\nexcept ImportError:\n    pass", True),
        ("if True:\n    import toy.unused", True),
        ("class Holder:\n    import toy.unused", True),
        ("def load():\n    import toy.unused", False),
        ("async def load():\n    import toy.unused", False),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import toy.unused", False),
        ("import typing\nif typing.TYPE_CHECKING:\n    import toy.unused", False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import toy.unused", True),
        ("import toy.config", False),
        ("import toyshop", False),
    ],
)
def test_which_imports_count(folder, line, counts):
    (folder / "program.py").write_text(line + "\n", encoding="utf-8")
    forget()
    assert import_closure("toy.program") == (
        {"toy", "toy.program", "toy.unused"} if counts else {"toy", "toy.program"}
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from toy.model import Model", "from toy.wing.kind import Model"),
        ("from toy import model", "from toy.wing import kind as model"),
        (
            "from .model import Model\nfrom .shapes import ONE",
            "from .shapes import ONE\nfrom .wing.kind import Model",
        ),
        (
            "def load():\n    from toy.model import Model",
            "def load():\n    from toy.wing.kind import Model",
        ),
    ],
)
def test_a_module_that_moved_is_the_same_code(folder, before, after):
    sources = {"wing/__init__": '"""A wing."""\n', "wing/kind": PACKAGE["model"]}
    (folder / "wing").mkdir()
    expected = digest_after(folder, program=f"{before}\n")
    (folder / "model.py").unlink()
    assert digest_after(folder, program=f"{after}\n", **sources) == expected
    other = {**sources, "wing/kind": OTHER["a constant"]}
    is_late = "def load" in after
    assert (digest_after(folder, **other) == expected) == is_late


def test_what_is_imported_from_where_counts(folder):
    (folder / "model.py").write_text("class Model:\n    size = 4\n", encoding="utf-8")
    (folder / "unused.py").write_text("class Model:\n    size = 5\n", encoding="utf-8")
    both = "from toy.model import Model as A\nfrom toy.unused import Model as B\n"
    swapped = "from toy.model import Model as B\nfrom toy.unused import Model as A\n"
    assert digest_after(folder, program=both) != digest_after(folder, program=swapped)


def test_the_packages_of_a_module_count(folder):
    (folder / "wing").mkdir()
    sources = {"wing/__init__": '"""A wing."""\n', "wing/kind": "SIZE = 1\n"}
    expected = digest_after(folder, program="from toy.wing.kind import SIZE\n", **sources)
    assert "toy.wing" in import_closure("toy.program")
    assert digest_after(folder, **{"wing/__init__": "SIZE = 2\n"}) != expected


def test_modules_that_import_each_other_end(folder):
    (folder / "numbers.py").write_text("import toy.shapes\n", encoding="utf-8")
    forget()
    assert import_closure("toy.shapes") == {"toy", "toy.shapes", "toy.numbers"}


DOCUMENTED = '''"""Of the module."""

class Model:
    """Of the class."""

    size = 3
    """Of the field."""

    def area(self):
        """Of the method."""
        return self.size**2
'''
SPEAKING = """\
def parse(parser):
    logger.info("%d words", 1)
    group = parser.add_argument_group("files", description="Files.")
    group.add_argument("--size", type=int, default=3, help="the size", metavar="SIZE")
    return table(parser, config_help="the whole config")
"""
SAME = {
    "a comment": PACKAGE["model"].replace("size = 3", "size = 3  # a comment"),
    "docstrings": DOCUMENTED,
    "blank lines": PACKAGE["model"].replace("\n", "\n\n"),
    "layout": PACKAGE["model"].replace("3", "(\n    3\n)").replace("**", " ** "),
    "a number written in another way": PACKAGE["model"].replace("3", "0x3"),
}
OTHER = {
    "a constant": PACKAGE["model"].replace("3", "4"),
    "an operator": PACKAGE["model"].replace("**", "*"),
    "a name": PACKAGE["model"].replace("area", "surface"),
    "a default": PACKAGE["model"].replace("(self)", "(self, size=1)"),
    "a string that is no docstring": PACKAGE["model"] + "\nNAME = 'x'\n",
    "a decorator": PACKAGE["model"].replace("    def", "    @property\n    def"),
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_the_same_code_has_the_same_digest(folder, source):
    before = code_digest("toy.program")
    assert digest_after(folder, model=source) == before


@pytest.mark.parametrize("source", OTHER.values(), ids=OTHER)
def test_other_code_has_another_digest(folder, source):
    before = code_digest("toy.program")
    assert digest_after(folder, model=source) != before


@pytest.mark.parametrize(
    ("words", "others", "counts"),
    [
        ("the size", "how large", False),
        ("Files.", "Of the disk.", False),
        ("SIZE", "NUMBER", False),
        ("the whole config", "everything", False),
        ("%d words", "said %d", False),
        ('    logger.info("%d words", 1)\n', "", False),
        ("default=3", "default=4", True),
        ("--size", "--length", True),
        ("logger.info(", "other.info(", True),
    ],
)
def test_what_only_speaks_does_not_count(folder, words, others, counts):
    assert words in SPEAKING
    before = digest_after(folder, model=SPEAKING)
    after = digest_after(folder, model=SPEAKING.replace(words, others))
    assert (after != before) == counts


@pytest.mark.parametrize("name", ["__init__", "program", "model", "shapes", "numbers"])
def test_each_module_of_the_closure_counts(folder, name):
    before = code_digest("toy.program")
    assert digest_after(folder, **{name: PACKAGE[name] + "\nMORE = 1\n"}) != before


@pytest.mark.parametrize("name", ["unused", "config"])
def test_other_modules_do_not_count(folder, name):
    before = code_digest("toy.program")
    assert digest_after(folder, **{name: PACKAGE[name] + "\nMORE = 1\n"}) == before


def test_code_that_moves_to_another_module_counts(folder):
    before = code_digest("toy.program")
    assert digest_after(folder, numbers="", shapes="import toy.numbers\nONE = 1\n") != before


def test_the_place_of_the_package_does_not_count(folder, tmp_path, monkeypatch):
    before = code_digest("toy.program")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.rename(elsewhere / "toy")
    monkeypatch.syspath_prepend(elsewhere)
    forget()
    assert Path(digests._source("toy.model")).parent == elsewhere / "toy"
    assert code_digest("toy.program") == before


def test_the_order_of_names_does_not_count(folder):
    both = code_digest("toy.program", "toy.unused")
    assert both == code_digest("toy.unused", "toy.program")
    assert both != code_digest("toy.program")


def test_a_module_that_does_not_exist_is_named(folder):
    with pytest.raises(ValueError, match=r"module toy\.nothing does not exist"):
        code_digest("toy.nothing")


def test_a_module_that_cannot_be_parsed_is_named_with_its_line(folder):
    (folder / "model.py").write_text("x = 1\ndef\n", encoding="utf-8")
    forget()
    with pytest.raises(ValueError, match=r"model\.py, line 2"):
        code_digest("toy.program")


def test_files_of_the_package_count_by_what_they_hold(folder):
    (folder / "page").mkdir()
    (folder / "page" / "page.css").write_text("p { color: red }", encoding="utf-8")
    before = package_files_digest("page/*")
    (folder / "page.css").write_text("another one", encoding="utf-8")
    assert package_files_digest("page/*") == before
    (folder / "page" / "page.css").write_text("p { color: blue }", encoding="utf-8")
    assert package_files_digest("page/*") != before


def test_the_parts_of_the_page_make_it_stale(monkeypatch):
    stage_digest.cache_clear()
    before = {rule: stage_digest(rule) for rule in ("make_page", "draw_rollouts")}
    read_bytes = Path.read_bytes
    edited = lambda path: read_bytes(path) + b" " * (path.name == "cards.js")  # noqa: E731
    monkeypatch.setattr(Path, "read_bytes", edited)
    stage_digest.cache_clear()
    after = {rule: stage_digest(rule) for rule in before}
    stage_digest.cache_clear()
    assert {rule for rule in before if after[rule] != before[rule]} == {"make_page"}
