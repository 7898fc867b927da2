"""HDF5 files that are damaged, or valid and odd: refused in one line, or read as they are."""

import json
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import squares

from ocvp.data.slot_files import read_info, write_slots
from ocvp.data.videos import Video, VideoFile, VideoWriter

V, T = 4, 2
ATTRIBUTES = {"dataset": "toy", "split": "val", "fps": 12.0, "source": "{}", "config": "{}"}
SHAPE = (V, T, 3, 4)
LABELS = [{"video": index} for index in range(V)]


def arrays_of(video):
    return {
        name: values[:, :8, :8]
        for name, values in squares(video, T).items()
        if name in ("frames", "masks")
    }


def write_videos(path, **attributes):
    with VideoWriter(path, num_videos=V, attributes=ATTRIBUTES | attributes) as writer:
        for video in range(V):
            writer.append(Video(f"vidéo {video}", arrays_of(video), LABELS[video]))
    return path


def slots():
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def write_some_slots(path):
    write_slots(path, [slots()], SHAPE, "d" * 64)
    return path


def write_older_videos(path, left_out=()):
    """Write what versions before this format wrote: HDF5's first format, and texts in its heap."""
    with h5py.File(path, "w") as file:
        file.attrs["format_version"] = 1
        file.attrs.update(ATTRIBUTES)
        for name, first in arrays_of(0).items():
            options = {"chunks": (1, *first.shape), "fletcher32": True, "track_times": False}
            dataset = file.create_dataset(name, (V, *first.shape), first.dtype, **options)
            for video in range(V):
                if (name, video) not in left_out:
                    dataset[video] = arrays_of(video)[name]
        for name, texts in (
            ("names", [f"vidéo {video}" for video in range(V)]),
            ("metadata", list(map(json.dumps, LABELS))),
        ):
            file.create_dataset(name, data=np.array(texts, object), dtype=h5py.string_dtype())
        file.attrs["complete"] = True
    return path


def content_of(path):
    """Return all that the readers give of a file, of videos or of slots."""
    if "slots" in Path(path).name:
        info = read_info(path)
        with h5py.File(path) as file:
            return [info, file["slots"][:].tobytes()]
    with VideoFile(path) as videos:
        fields = [videos.read(name, video) for name in videos.fields for video in range(V)]
        found = [videos.names, videos.metadata, videos.attributes, videos.fields]
        return [
            *found,
            videos.num_videos,
            videos.num_frames,
            *(field.tobytes() for field in fields),
        ]


WRITERS = {"videos.h5": write_videos, "slots.h5": write_some_slots}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_content_gives_the_same_bytes_at_another_time(tmp_path, name):
    first = WRITERS[name](tmp_path / name).read_bytes()
    time.sleep(1.1)  # HDF5's times are seconds
    assert WRITERS[name](tmp_path / f"other {name}").read_bytes() == first
    assert first[:9] == b"\x89HDF\r\n\x1a\n\x03"  # the format with checksums


@pytest.mark.parametrize("name", WRITERS)
def test_any_flipped_bit_is_told_or_without_effect(tmp_path, name):
    """All bits were tried once, in processes of their own: none was anything else."""
    path = WRITERS[name](tmp_path / name)
    whole, expected, rng = path.read_bytes(), content_of(path), np.random.default_rng(1)
    told = []
    for position in rng.choice(len(whole), 250, replace=False):
        changed = bytearray(whole)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        try:
            assert content_of(path) == expected
        except ValueError as error:
            told.append(str(error))
        except OSError as error:  # of a chunk that this test reads by itself
            told.append(f"{path} {error}")
    assert len(told) > 50
    assert all(str(path) in text and "\n" not in text for text in told)
    assert all(
        str(path) in str(error) and "\n" not in str(error)
        for error in told
        if isinstance(error, ValueError)
    )


def test_texts_lie_in_no_heap(tmp_path):
    """HDF5's heap has no checksum, and some flipped bits there make it search for ever."""
    for name, write in WRITERS.items():
        assert b"GCOL" not in write(tmp_path / name).read_bytes()
    long = json.dumps(["many settings"] * 10_000)
    with VideoFile(write_videos(tmp_path / "long.h5", config=long)) as videos:
        assert videos.attributes["config"] == long
    assert b"GCOL" not in (tmp_path / "long.h5").read_bytes()


def test_older_files_are_read(tmp_path):
    older, newer = write_older_videos(tmp_path / "older.h5"), write_videos(tmp_path / "newer.h5")
    assert b"GCOL" in older.read_bytes()
    assert content_of(older) == content_of(newer)


@pytest.mark.parametrize("name", ["frames", "masks"])
def test_a_chunk_that_is_missing_gives_no_zeros(tmp_path, name):
    path = write_older_videos(tmp_path / "val.h5", left_out=[(name, 2)])
    with pytest.raises(ValueError, match=rf"val\.h5 is damaged: 3 of 4 chunks of {name} are there"):
        VideoFile(path)


def test_chunks_that_the_index_of_an_older_file_puts_elsewhere_are_told(tmp_path):
    """The index has no checksum there. A chunk that is another's has a right one."""
    path = write_older_videos(tmp_path / "val.h5")
    with h5py.File(path) as file:
        chunks = [file["frames"].id.get_chunk_info(video) for video in range(V)]
    whole = path.read_bytes()
    one, other = (chunk.byte_offset.to_bytes(8, "little") for chunk in chunks[1:3])
    assert whole.count(one) == 1
    path.write_bytes(whole.replace(one, other))
    with pytest.raises(ValueError, match="the chunks of frames are not where they must be"):
        VideoFile(path)


def test_flipped_bits_in_the_index_of_an_older_file_give_no_zeros(tmp_path):
    path = write_older_videos(tmp_path / "val.h5")
    whole, expected = path.read_bytes(), content_of(path)
    node = whole.index(b"TREE\1")  # of chunks; two siblings' addresses, then keys and addresses
    told = 0
    for position in range(node, node + 24 + V * 64):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        try:
            assert content_of(path) == expected
        except ValueError as error:
            told += "val.h5" in str(error)
    assert told > 100


# --- valid HDF5 of another structure --------------------------------------------------------------


def replace(name, **options):
    """Return an edit that replaces a data set."""

    def edit(file):
        del file[name]
        file.create_dataset(name, **options)

    return edit


def as_group(name):
    def edit(file):
        del file[name]
        file.create_group(name)

    return edit


def link(name, target):
    def edit(file):
        del file[name]
        file[name] = target

    return edit


def attribute(name, value):
    def edit(file):
        file.attrs[name] = value

    return edit


def virtual(name):
    def edit(file):
        layout = h5py.VirtualLayout(file[name].shape, file[name].dtype)
        layout[:] = h5py.VirtualSource("elsewhere.h5", name, file[name].shape)
        del file[name]
        file.create_virtual_dataset(name, layout)

    return edit


FRAMES = np.zeros((V, T, 8, 8, 3), np.uint8)
EXABYTES = {"shape": (2**40, T, 8, 8, 3), "dtype": "u1", "chunks": (1, T, 8, 8, 3)}
ODD_VIDEOS = {
    "names that are numbers": (replace("names", data=np.arange(V)), "names as int64 (4,); it must"),
    "one name for all": (replace("names", data="a"), "names as object (); it must be"),
    "too few names": (replace("names", data=["a", "b"]), "names of shape (2,); V differs"),
    "names as a group": (as_group("names"), "holds names as a Group, where a data set"),
    "no names": (lambda file: file.__delitem__("names"), "holds no names"),
    "frames as a group": (as_group("frames"), "holds frames as a Group"),
    "float frames": (replace("frames", data=FRAMES.astype(float)), "frames as float64 (4, 2"),
    "no colours": (replace("frames", data=FRAMES[..., 0]), "as uint8 (4, 2, 8, 8); it must"),
    "no frames": (replace("frames", data=FRAMES[:0]), "and not empty"),
    "empty frames": (replace("frames", data=h5py.Empty("u1")), "frames as uint8 None; it must be"),
    "frames of nothing": (replace("frames", shape=FRAMES.shape, dtype="u1"), "frames is not"),
    "exabytes": (replace("frames", **EXABYTES), "0 of 1099511627776 chunks of frames are"),
    "compound masks": (replace("masks", shape=(V, T), dtype=[("a", "u1")]), "as [('a', 'u1')]"),
    "big-endian boxes": (replace("masks", data=np.zeros((V, T, 8, 8), ">i4")), "masks as >i4"),
    "a soft link to nothing": (link("masks", h5py.SoftLink("/gone")), "holds masks as a SoftLink"),
    "an external link": (link("frames", h5py.ExternalLink("/dev/null", "/")), "a ExternalLink"),
    "a virtual data set": (virtual("frames"), "keeps frames in other files"),
    "labels that are no JSON": (replace("metadata", data=["{"] * V), "is damaged or no HDF5"),
    "labels that are no mappings": (replace("metadata", data=["3"] * V), "that are no mappings"),
    "no split": (lambda file: file.attrs.__delitem__("split"), "has no split, where an"),
    "a split that is a number": (attribute("split", 3), "split as int64, where an attribute of"),
    "a version that is a text": (attribute("format_version", "1"), "format_version as str, where"),
    "a rate that is a list": (attribute("fps", [1.0, 2.0]), "has fps as ndarray, where"),
    "an empty attribute": (attribute("source", h5py.Empty("f4")), "has source as Empty, where"),
    "complete as a text": (attribute("complete", "yes"), "has complete as str, where"),
}  # fmt: skip


def refusal(path, edit, read):
    """Edit a file, and return the line in which it is then refused."""
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(ValueError, match=r"odd\.h5") as error:
        read(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("case", ODD_VIDEOS)
def test_videos_of_another_structure_are_refused_by_name(tmp_path, case):
    edit, message = ODD_VIDEOS[case]
    text = refusal(write_videos(tmp_path / "odd.h5"), edit, VideoFile)
    assert message in text
    assert text.endswith("; delete it and run snakemake again")


VALUES = np.zeros(SHAPE, np.float32)
ODD_SLOTS = {
    "float64": (replace("slots", data=VALUES.astype(float)), "slots as float64 (4, 2, 3, 4); it"),
    "three axes": (replace("slots", data=VALUES[0]), "(2, 3, 4); it must be float32 with"),
    "a group": (as_group("slots"), "holds slots as a Group"),
    "none": (lambda file: file.__delitem__("slots"), "holds no slots"),
    "no digest": (lambda file: file.attrs.__delitem__("weights_digest"), "has no weights_digest"),
    "a digest that is a number": (attribute("weights_digest", 3), "has weights_digest as int64"),
    "no format": (lambda file: file.attrs.__delitem__("format"), "is no file of slots"),
    "a format that is a list": (attribute("format", [1, 2]), "has format as ndarray"),
    "a first video that is a text": (attribute("first_video", "0"), "has first_video as str"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_SLOTS)
def test_slots_of_another_structure_are_refused_by_name(tmp_path, case):
    edit, message = ODD_SLOTS[case]
    assert message in refusal(write_some_slots(tmp_path / "odd.h5"), edit, read_info)


def test_what_is_valid_and_stored_otherwise_is_read(tmp_path):
    """In one piece, in other chunks, with texts of any length, and with more attributes."""
    path = write_videos(tmp_path / "videos.h5")
    expected = content_of(path)
    with h5py.File(path, "r+") as file:
        frames, masks = file["frames"][:], file["masks"][:]
        del file["frames"], file["masks"], file["names"]
        file["frames"] = frames
        file.create_dataset("masks", data=masks, chunks=(3, 1, 5, 8))
        file["names"] = [f"vidéo {video}" for video in range(V)]
        file.attrs["mine"] = [1, 2, 3]
        file["notes"] = "mine"
    assert content_of(path) == expected
