"""Damage: what disks, networks, editors and other programs do to files."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Chance = random.Random


def flip(data: bytes, chance: Chance) -> bytes:
    """Flip up to eight bits."""
    new = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        position = chance.randrange(len(new))
        new[position] ^= 1 << chance.randrange(8)
    return bytes(new)


def cut(data: bytes, chance: Chance) -> bytes:
    """Cut the end off."""
    return data[: chance.randrange(len(data))]


def insert(data: bytes, chance: Chance) -> bytes:
    """Insert some bytes."""
    position = chance.randrange(len(data))
    return data[:position] + chance.randbytes(chance.choice((1, 4, 512))) + data[position:]


def remove(data: bytes, chance: Chance) -> bytes:
    """Remove some bytes."""
    start, stop = _range(data, chance)
    return data[:start] + data[stop:]


def repeat(data: bytes, chance: Chance) -> bytes:
    """Let some bytes stand twice."""
    start, stop = _range(data, chance)
    return data[:stop] + data[start:stop] + data[stop:]


def zero(data: bytes, chance: Chance) -> bytes:
    """Set a range to zero, as a disk does that lost a block."""
    start, stop = _range(data, chance)
    return data[:start] + bytes(stop - start) + data[stop:]


def swap(data: bytes, chance: Chance) -> bytes:
    """Swap two ranges."""
    start, stop = _range(data, chance)
    middle = (start + stop) // 2
    return data[:start] + data[middle:stop] + data[start:middle] + data[stop:]


def append(data: bytes, chance: Chance) -> bytes:
    """Append some bytes, or the file itself."""
    return data + chance.choice((data, chance.randbytes(chance.choice((1, 1000))), bytes(4096)))


def extreme(data: bytes, chance: Chance) -> bytes:
    """Set a number to an extreme one."""
    size = chance.choice((1, 2, 4, 8))
    position = chance.randrange(max(len(data) - size, 1))
    number = chance.choice((0, 1, 256**size - 1, 256**size // 2, 256**size // 2 - 1))
    order = chance.choice(("little", "big"))
    return data[:position] + number.to_bytes(size, order) + data[position + size :]


def replace(data: bytes, chance: Chance) -> bytes:
    """Replace the file by another one."""
    others = (b"", b"\0", b"not what it says\n", bytes(len(data)), chance.randbytes(len(data)))
    return chance.choice(others)


BYTES = (flip, flip, flip, cut, insert, remove, repeat, zero, swap, append, extreme, replace)


def _range(data: bytes, chance: Chance) -> tuple[int, int]:
    size = min(chance.choice((1, 8, 64, 512, 4096)), len(data))
    start = chance.randrange(len(data) - size + 1)
    return start, start + size


def damage_bytes(path: Path, chance: Chance) -> str:
    """Damage the bytes of a file, and say how."""
    how = chance.choice(BYTES)
    path.write_bytes(how(path.read_bytes(), chance))
    return how.__name__


# --- structure ----------------------------------------------------------------------------------

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 10**30, 0.5, 1e308, float("nan"), "", "x", "2024", "0" * 1000),
    *([], [1, [2]], {}, {"x": {}}, ["x"] * 1000, "\ud800", {"": 0}),
)


def damage_json(path: Path, chance: Chance) -> str:
    """Edit a JSON file: keys are lost, renamed or hold something else."""
    value = edited(json.loads(path.read_text(encoding="utf-8")), chance)
    path.write_text(json.dumps(value), encoding="utf-8")
    return "edited JSON"


def edited(value: Any, chance: Chance, odd: tuple[Any, ...] = ODD) -> Any:
    """Return nested containers with one item lost, renamed or replaced."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or chance.random() < 0.03:
        return chance.choice(odd)
    part, key = chance.choice(places)
    how = chance.choice(("lose", "replace", "replace", "rename"))
    if how == "lose":
        del part[key]
    elif how == "rename" and isinstance(part, dict):
        part[f"{key}x"] = part.pop(key)
    else:
        part[key] = chance.choice(odd)
    return value


def _places(value: Any) -> Any:
    """Yield each container in nested ones with each of its keys."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])


def damage_hdf5(path: Path, chance: Chance) -> str:
    """Edit an HDF5 file: valid, and of a structure that no writer here makes."""
    with h5py.File(path, "r+") as file:
        names, attributes = sorted(file), sorted(file.attrs)
        edits: dict[str, Callable[[], object]] = {}
        name = chance.choice(names)
        data = file[name]
        content = data[:] if data.dtype.kind != "O" else np.array([1.5] * len(data))
        attribute = chance.choice(attributes)

        def anew(values: Any) -> None:
            del file[name]
            file[name] = values

        odd = (0, -1, "x", b"\xff", 1.5, [1, 2], np.float64("nan"), "")
        edits = {
            "lost attribute": lambda: file.attrs.__delitem__(attribute),
            "odd attribute": lambda: file.attrs.__setitem__(attribute, chance.choice(odd)),
            "lost data set": lambda: file.__delitem__(name),
            "no axes": lambda: anew(0.0),
            "empty": lambda: anew(content[:0]),
            "fewer": lambda: anew(content[:-1]),
            "other type": lambda: anew(content.astype(chance.choice(("f8", "i8", "u1", "S3")))),
            "transposed": lambda: anew(np.ascontiguousarray(content.T)),
            "another axis": lambda: anew(content[None]),
            "group": lambda: (file.__delitem__(name), file.create_group(name)),
            "link": lambda: (file.__delitem__(name), _link(file, name, chance)),
            "nothing written": lambda: (
                file.__delitem__(name),
                file.create_dataset(name, content.shape, content.dtype),
            ),
        }
        how = chance.choice(sorted(edits))
        edits[how]()
    return f"{how} ({name}, {attribute})"


def _link(file: h5py.File, name: str, chance: Chance) -> None:
    file[name] = chance.choice((h5py.SoftLink("/nowhere"), h5py.ExternalLink("no.h5", "/x")))
