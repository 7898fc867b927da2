"""docs/architecture.md and CONTRIBUTING.md: what they name is there."""

import re

import pytest
from snakemake_runs import PROJECT
from test_layers import STOREYS

PAGE = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
CHANGES = PAGE.partition("## Where do I change")[2].partition("\n## ")[0]
NAMED = re.compile(r"`((?:ocvp|tests|workflow|config|docs|profiles|envs)/[\w./-]*)`")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_the_files_that_a_page_names_are_there(page):
    named = NAMED.findall((PROJECT / page).read_text(encoding="utf-8"))
    assert len(named) > 4
    missing = {name for name in named if not (PROJECT / name).exists()}
    assert missing - {"ocvp/NAME.py"} == set()


def test_twelve_changes_have_their_files():
    rows = re.findall(r"^\| .*$", CHANGES, re.MULTILINE)[2:]  # without the head
    assert len(rows) == 12
    assert all(NAMED.search(row) for row in rows)


def test_every_wing_has_its_storey_and_its_paragraph():
    for number, wings in enumerate(STOREYS, 1):
        for wing in wings - {""}:
            assert f"**`{wing}/`** ({number}) " in PAGE
