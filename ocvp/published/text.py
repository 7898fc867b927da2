"""What a converted parameter file says: a config as YAML, and what became of each key."""

import json
from collections.abc import Iterator

from ocvp.config.text import block_yaml, wrapped
from ocvp.published.conversion import Conversion, Note


def config_text(conversion: Conversion) -> str:
    """Return a config as YAML, with what is to be said of it in comments at its head."""
    lines = ["# Converted from a published parameter file by `python -m ocvp.convert_params`.", "#"]
    for remark in conversion.remarks:
        lines += wrapped(remark, "# - ", "#   ")
    for title, notes in notes_by_title(conversion):
        lines += ["#", f"# {title}"]
        for note in notes:
            lines += wrapped(note_text(note), "# - ", "#   ")
    return "\n".join([*lines, "", block_yaml(conversion.config)])


def note_text(note: Note) -> str:
    """Return what is said of one key: its value, and why."""
    return f"{note.key}: {json.dumps(note.value)} ({note.reason})"


def notes_by_title(conversion: Conversion) -> Iterator[tuple[str, list[Note]]]:
    """Yield the lists of keys that did not become part of the config, those that are not empty."""
    for title, notes in (
        ("Keys of the file that are unknown, and were not converted:", conversion.unknown),
        ("Keys whose value could not be converted:", conversion.not_converted),
        ("Keys without effect:", conversion.no_effect),
    ):
        if notes:
            yield title, notes
