"""MOVi on disk for tests: the fixture in MOVi-A's format, and records that are made of it.

The encoding here is written anew for tests: nothing of it is taken from the readers under test.
"""

import io
import json
import shutil
import struct
import tarfile
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).parents[1] / "files" / "movi_a"
VERSION = Path("movi_a/128x128/1.0.0")
SHARDS = {
    "train": (
        "movi_a-train.tfrecord-00000-of-00002",
        "movi_a-train.tfrecord-00001-of-00002",
    ),
    "validation": ("movi_a-validation.tfrecord-00000-of-00001",),
}
VIDEOS = (
    ("train", 0, 0, "train_00_204"),
    ("train", 0, 1, "train_01_17"),
    ("train", 1, 0, "train_02_7311"),
    ("train", 1, 1, "train_03_1033"),
    ("validation", 0, 0, "validation_00_4096"),
    ("validation", 0, 1, "validation_01_2750"),
)
"""Split, shard, position in it and key in ground_truth.json, which ends with the video's name."""


def unpack_movi(folder):
    """Unpack the fixture into a folder, which is then a `root` of a data set of kind movi."""
    with tarfile.open(DATA / "fixture.tar.xz") as tar:
        # no argument: Python 3.11.3 and before have no filters
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder)
    return Path(folder)


@pytest.fixture(scope="session")
def movi_root(shared_folder):
    """Return the unpacked fixture, once for all test processes: write nothing into it."""
    return shared_folder("movi-fixture", unpack_movi)


def write_movi_c(folder, source):
    """Write a tree with MOVi-C's names and its three splits, of two videos each.

    Args:
        folder: Where to; it becomes a `root`.
        source: The unpacked fixture.
    """
    source = Path(source) / VERSION
    target = Path(folder) / "movi_c/128x128/1.0.0"
    target.mkdir(parents=True)
    shards = {
        "train": SHARDS["train"][0],
        "validation": SHARDS["train"][1],
        "test": SHARDS["validation"][0],
    }
    for split, shard in shards.items():
        shutil.copy(source / shard, target / f"movi_c-{split}.tfrecord-00000-of-00001")
    for path in source.glob("*.labels.txt"):
        shutil.copy(path, target)
    info = json.loads((source / "dataset_info.json").read_text(encoding="utf-8"))
    info["name"] = info["moduleName"] = "movi_c"
    info["splits"] = [{"name": split, "shardLengths": ["2"]} for split in shards]
    (target / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    return Path(folder)


def write_movi_a(folder, records, split="train", source=None):
    """Write a MOVi-A tree of one shard with these records; labels are copied from `source`."""
    target = Path(folder) / VERSION
    target.mkdir(parents=True, exist_ok=True)
    if source is not None:
        for path in (Path(source) / VERSION).glob("*.labels.txt"):
            shutil.copy(path, target)
    path = target / f"movi_a-{split}.tfrecord-00000-of-00001"
    path.write_bytes(b"".join(frame(data) for data in records))
    return path


def frame(data):
    """Return a TFRecord with this data."""
    return head(len(data)) + data + _masked_crc(data)


def head(length):
    """Return what a TFRecord starts with: the length of its data and the checksum of that."""
    octets = struct.pack("<Q", length)
    return octets + _masked_crc(octets)


def _masked_crc(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def raw_record(root, split="validation", shard=0, position=0):
    """Return the data of a record of the fixture, found by its lengths alone."""
    content = (Path(root) / VERSION / SHARDS[split][shard]).read_bytes()
    offset = 0
    for _ in range(position):
        offset += 16 + struct.unpack_from("<Q", content, offset)[0]
    length = struct.unpack_from("<Q", content, offset)[0]
    return content[offset + 12 : offset + 12 + length]


def edited(data, **features):
    """Return a record with features replaced, added or (None) removed; __ stands for /."""
    parts = split_example(data)
    for name, feature in features.items():
        parts[name.replace("__", "/")] = feature
    return join_example({key: part for key, part in parts.items() if part is not None})


def split_example(data):
    """Return key to the bytes of its Feature."""
    parts = [dict(fields(entry)) for _, entry in fields(dict(fields(data))[1])]
    return {part[1].decode(): part[2] for part in parts}


def join_example(parts):
    """Return the bytes of an Example with these Features."""
    entries = (field(1, key.encode()) + field(2, part) for key, part in parts.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


def fields(data):
    """Yield number and content of each field of a message, all of which have a length."""
    position = 0
    while position < len(data):
        tag, position = _number(data, position)
        assert tag & 7 == 2
        length, position = _number(data, position)
        yield tag >> 3, data[position : position + length]
        position += length


def _number(data, position):
    value = shift = 0
    while data[position] >= 0x80:
        value |= (data[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
    return value | data[position] << shift, position + 1


def varint(value):
    """Return the varint of an integer; a negative one is taken modulo 2**64."""
    value %= 2**64
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def field(number, content):
    """Return a field with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def bytes_feature(*values):
    """Return a Feature of byte strings."""
    return field(1, b"".join(field(1, value) for value in values))


def float_feature(*values):
    """Return a Feature of packed floats."""
    return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))


def int_feature(*values):
    """Return a Feature of packed integers."""
    return field(3, field(1, b"".join(varint(int(value)) for value in values)))


def png(array):
    """Return a PNG of a uint8 or uint16 array without colour, or a uint8 one with it."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(file, "PNG")
    return file.getvalue()
