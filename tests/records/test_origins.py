"""Weights from outside: what they hold counts, not where they lie or what they are called."""

from ocvp.records.origins import files_digest


def test_the_digest_of_files_is_of_what_they_hold(tmp_path):
    for place, name, content in (("a", "x.pt", "1"), ("b", "y.pt", "1"), ("c", "x.pt", "2")):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_text(content, encoding="utf-8")
    first, moved, other = (files_digest([path]) for path in sorted(tmp_path.glob("*/*.pt")))
    assert first == moved
    assert first != other
    assert files_digest([]) == ""
