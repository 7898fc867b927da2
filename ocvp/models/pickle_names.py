"""Which classes and functions a file of torch.save asks for, told without running anything.

A pickle is a program: it names classes and functions and calls them. torch's safe loader allows
only a few; which others a file asks for is told here, before it is loaded, for files in the zip
format and in the one before it (torch 1.5 and older). Only the pickles are read, not the tensors.
"""

import mmap
import pickletools
import re
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ZIP_START = b"PK\x03\x04"
PICKLES_OF_OLD_FILES = 5  # the numbers of the tensors follow
MAX_NAME = 500
"""Most characters of the full name of a class or function."""
MAX_WORD = 5000
"""Most characters of a text without white space between them."""
# The loader searches its own error messages, which quote names and texts, with patterns whose time
# grows with the square of such a length: 200,000 characters would take minutes.
SAFE = re.compile(
    r"torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_\w+|nn\.parameter\.Parameter"
    r"|serialization\._get_layout|((cuda|sparse|cuda\.sparse|storage)\.)?\w*(Storage|Tensor)"
    r"|Size|device|bool|per_(tensor|channel)_\w+"
    r"|(qu?int|u?int|b?float|b?complex|bits)\d+\w*)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|bytearray|complex)"
)
"""What the safe loader allows, and a little more, which it refuses itself."""


def refused_names(path: Path) -> set[str]:
    """Return the classes and functions that a file asks for and the safe loader refuses.

    Args:
        path: A file of torch.save, or any other.

    Raises:
        ValueError: If none is found and the pickles cannot be read to their end, or hold a name
            longer than MAX_NAME or a text with a word longer than MAX_WORD.
    """
    names: set[str] = set()
    try:
        for name in _asked_names(path):
            if not SAFE.fullmatch(name):
                names.add(name if name.isprintable() else ascii(name))
    except MemoryError:
        raise
    except Exception as error:  # zipfile and pickletools fail in many ways on damaged bytes
        if not names:
            raise ValueError(f"{error or type(error).__name__}"[:200]) from None
    return names


def _asked_names(path: Path) -> Iterator[str]:
    """Yield the full name of each class and function in the pickles of a file."""
    with path.open("rb") as file:
        if file.read(len(ZIP_START)) == ZIP_START:
            with zipfile.ZipFile(file) as archive:
                for member in archive.namelist():
                    if member.endswith(".pkl"):
                        with archive.open(member) as part:
                            yield from _names_in_pickle(part)
            return
        # Mapped: a length in a damaged pickle, however large, takes no more than what is there.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for _ in range(PICKLES_OF_OLD_FILES):
                if mapped.tell() < len(mapped):
                    yield from _names_in_pickle(mapped)


def _names_in_pickle(file: "IO[bytes] | mmap.mmap") -> Iterator[str]:
    """Yield the full name of each class and function in one pickle.

    Newer pickles take the parts of a name from the stack; which strings lie there is followed
    through the instructions that push them, not through any that compute.
    """
    strings: deque[str | None] = deque(maxlen=2)  # the last two: module and name
    memo: dict[object, str | None] = {}  # texts that may be pushed again
    for opcode, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]
        if opcode.name in ("GLOBAL", "INST"):
            yield _name(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            yield _name(".".join(map(str, strings)))
        elif isinstance(argument, str) and len(argument) > MAX_WORD:
            _check_words(argument)
        if opcode.name == "MEMOIZE" or "PUT" in opcode.name:
            memo[len(memo) if argument is None else argument] = strings[-1] if strings else None
        elif "GET" in opcode.name:
            strings.append(memo.get(argument))
        else:
            strings.append(argument if "UNICODE" in opcode.name else None)


def _name(name: str) -> str:
    """Return a full name as Python 3 has it.

    Raises:
        ValueError: If it is longer than any name.
    """
    if len(name) > MAX_NAME:
        raise ValueError(f"it asks for a name of {len(name)} characters, {name[:40]!r}...")
    return name.replace("__builtin__.", "builtins.")


def _check_words(text: str) -> None:
    """Check that a long text has white space in it."""
    if (longest := max(map(len, text.split()), default=0)) > MAX_WORD:
        raise ValueError(f"it holds a word of {longest} characters, {text[:40]!r}...")
