"""Weights from outside: what they hold counts, not where they lie or what they are called."""

from pathlib import Path

import pytest

from ocvp.config.entries import Origin
from ocvp.records.origins import files_digest, origin_digest, write_record


def test_the_digest_of_files_is_of_what_they_hold(tmp_path):
    for place, name, content in (("a", "x.pt", "1"), ("b", "y.pt", "1"), ("c", "x.pt", "2")):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_text(content, encoding="utf-8")
    first, moved, other = (files_digest([path]) for path in sorted(tmp_path.glob("*/*.pt")))
    assert first == moved
    assert first != other
    assert files_digest([]) == ""


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"named": ["gone.pt", null], "digest": 5}', "5"])
def test_a_damaged_record_counts_as_none(tmp_path, text):
    entry = Origin(start_from="gone.pt")
    write_record(tmp_path / "savi.pt", Path("gone.pt"), digest="d" * 64)
    assert origin_digest(entry, tmp_path) == "d" * 64
    (tmp_path / "origin.json").write_text(text)
    with pytest.raises(ValueError, match=r"gone\.pt does not exist.*not known, for .*origin\.json"):
        origin_digest(entry, tmp_path)
