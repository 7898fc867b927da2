"""Messages about a config, cut to what a person reads."""

import reprlib
from collections.abc import Sequence

MOST_CHARACTERS = 600
"""Of one line of a message."""

MOST_LINES = 20
"""Of one message."""


class _Repr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 3, 4, 6, 6
        self.maxstring = self.maxother = self.maxlong = 80

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python writes no more than some thousand digits
            return f"a whole number of {x.bit_length()} bits"


shortened = _Repr().repr
"""Return a value as Python writes it, without the middle of what is long."""


def readable(text: str) -> str:
    """Return a message without the middle of long lines, and without lines past the first ones."""
    return "\n".join(_first(text.splitlines()))


def fault_list(where: str, faults: Sequence[str], number: int = 0) -> str:
    """Return the message on a config, or a part of one, that is not valid.

    Args:
        where: What is not valid, for example `config`.
        faults: A line for each fault; the first ones are enough.
        number: How many faults there are; 0: those that are given.
    """
    lines = _first([f"  {fault}" for fault in faults], number)
    return "\n".join([_cut(f"{where} is not valid:"), *lines])


def _first(lines: Sequence[str], number: int = 0) -> list[str]:
    more = max(number, len(lines)) - MOST_LINES
    return [*map(_cut, lines[:MOST_LINES]), *([f"  and {more} more"] if more > 0 else [])]


def _cut(line: str) -> str:
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
    half = MOST_CHARACTERS // 2
    return line if len(line) <= MOST_CHARACTERS else f"{line[:half]} ... {line[-half:]}"
