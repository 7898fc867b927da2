"""tf.train.Example: hand-made messages, Google's protobuf as an oracle, TFDS's records, damage."""

import hashlib
import json
import random
import struct

import numpy as np
import pytest
from raw_movi import (
    DATA,
    VIDEOS,
    bytes_feature,
    field,
    float_feature,
    int_feature,
    join_example,
    movi_root,
    raw_record,
    varint,
)

from ocvp.data.movi.example_proto import Example

__all__ = ["movi_root"]

EXTREMES = [0, 1, 127, 128, 16383, 16384, 65535, 2**31, 2**63 - 1, -1, -128, -(2**63)]
PARTS = {
    "name": bytes_feature(b"a video", b"", "größer".encode()),
    "speed": float_feature(0.5, -1.25, 3e38),
    "label": int_feature(*EXTREMES),
}


def test_a_message_written_by_hand():
    # Example{features{feature{key: "x" value{int64_list{value: [150]}}}}}: 150 is 96 01
    example = Example(bytes.fromhex("0a0d 0a0b 0a0178 1206 1a04 0a02 9601"))
    assert example.keys == ("x",)
    assert example.kind("x") == "int64"
    assert example.integers("x").tolist() == [150]


def test_lists_of_all_kinds():
    example = Example(join_example(PARTS))
    assert example.keys == ("name", "speed", "label")
    assert [example.kind(key) for key in example.keys] == ["bytes", "float", "int64"]
    assert "label" in example
    assert "labels" not in example
    assert example.bytes_list("name") == [b"a video", b"", "größer".encode()]
    assert example.texts("name") == ["a video", "", "größer"]
    assert example.floats("speed").tolist() == [0.5, -1.25, float(np.float32(3e38))]
    assert example.floats("speed").dtype == np.float32
    assert example.integers("label").tolist() == EXTREMES
    assert example.integers("label").dtype == np.int64


def test_numbers_of_every_length_in_a_random_order():
    rng = random.Random(1)
    numbers = [rng.getrandbits(rng.randint(1, 64)) - 2**63 for _ in range(2000)]
    numbers += [rng.getrandbits(rng.randint(1, 16)) for _ in range(2000)]
    rng.shuffle(numbers)
    example = Example(join_example({"x": int_feature(*numbers)}))
    assert example.integers("x").tolist() == numbers


def test_packed_and_single_values_may_be_mixed():
    ints = field(1, varint(7) + varint(300)) + varint(8) + varint(65535) + varint(8) + varint(0)
    floats = bytes([0x0D]) + struct.pack("<f", 1.5) + field(1, struct.pack("<2f", 2.5, 3.5))
    example = Example(join_example({"ints": field(3, ints), "floats": field(2, floats)}))
    assert example.integers("ints").tolist() == [7, 300, 65535, 0]
    assert example.floats("floats").tolist() == [1.5, 2.5, 3.5]


def test_empty_lists():
    empty = {"a": field(1, b""), "b": field(2, b""), "c": field(3, b""), "d": field(3, b"\x0a\x00")}
    example = Example(join_example({**empty, "nothing": b""}))
    assert example.bytes_list("a") == example.bytes_list("nothing") == []
    assert example.floats("b").shape == example.floats("nothing").shape == (0,)
    assert example.integers("c").shape == example.integers("d").shape == (0,)
    assert example.kind("nothing") is None
    assert Example(b"").keys == ()


def test_unknown_fields_are_skipped():
    unknown = [
        varint(9 << 3) + varint(2**40),
        varint(9 << 3 | 1) + b"\xff" * 8,
        field(9, b"more"),
        varint(9 << 3 | 5) + b"\xff" * 4,
    ]
    for extra in unknown:
        feature = extra + field(3, extra + field(1, varint(5)) + extra) + extra
        entry = extra + field(1, b"x") + extra + field(2, feature) + extra
        data = extra + field(1, extra + field(1, entry) + extra) + extra
        assert Example(data).integers("x").tolist() == [5]


def test_protobuf_reads_and_writes_the_same():
    message = _example_class()()
    rng = np.random.default_rng(0)
    ints, floats = rng.integers(-(2**62), 2**62, 500), rng.standard_normal(500).astype(np.float32)
    feature = message.features.feature
    feature["ints"].int64_list.value.extend(ints.tolist())
    feature["floats"].float_list.value.extend(floats.tolist())
    feature["bytes"].bytes_list.value.extend([b"x" * 300, b""])
    feature["none"].SetInParent()
    example = Example(message.SerializeToString())
    assert set(example.keys) == {"ints", "floats", "bytes", "none"}
    assert np.array_equal(example.integers("ints"), ints)
    assert np.array_equal(example.floats("floats"), floats)
    assert example.bytes_list("bytes") == [b"x" * 300, b""]
    assert example.kind("none") is None
    # The encoder of these tests writes what protobuf reads.
    message = _example_class().FromString(join_example(PARTS))
    assert list(message.features.feature["label"].int64_list.value) == EXTREMES
    assert list(message.features.feature["speed"].float_list.value)[:2] == [0.5, -1.25]


def _example_class():
    """Return protobuf's class for tf.train.Example."""
    pb = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = pb.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kinds = [("BytesList", 12, "bytes_list"), ("FloatList", 2, "float_list")]
    kinds.append(("Int64List", 3, "int64_list"))

    def add(message, name, number, label, type_, type_name=None, **more):
        message.field.add(
            name=name, number=number, label=label, type=type_, type_name=type_name, **more
        )

    for name, type_, _ in kinds:
        add(file.message_type.add(name=name), "value", 1, 3, type_)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, _, field_name) in enumerate(kinds, start=1):
        add(feature, field_name, number, 1, 11, f".t.{name}", oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, 1, 9)
    add(entry, "value", 2, 1, 11, ".t.Feature")
    add(features, "feature", 1, 3, 11, ".t.Features.FeatureEntry")
    add(file.message_type.add(name="Example"), "features", 1, 1, 11, ".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


@pytest.mark.parametrize(("split", "shard", "position", "name"), VIDEOS)
def test_what_tfds_wrote(movi_root, split, shard, position, name):
    truth = json.loads((DATA / "ground_truth.json").read_text(encoding="utf-8"))[name]
    example = Example(raw_record(movi_root, split, shard, position))
    assert len(example.keys) == 45
    keys = {
        "backward_flow_u16": "backward_flow",
        "forward_flow_u16": "forward_flow",
        "bbox_frames_flat": "instances/bbox_frames/ragged_flat_values",
        "bbox_frames_len": "instances/bbox_frames/ragged_row_lengths_0",
        "visibility": "instances/visibility",
        "image_positions": "instances/image_positions",
        "shape_label": "instances/shape_label",
        "color_label": "instances/color_label",
        "size_label": "instances/size_label",
        "material_label": "instances/material_label",
        "collision_frame": "events/collisions/frame",
        "collision_instances": "events/collisions/instances",
        "num_frames": "metadata/num_frames",
        "depth_range": "metadata/depth_range",
        "backward_flow_range": "metadata/backward_flow_range",
        "forward_flow_range": "metadata/forward_flow_range",
    }
    for truth_key, key in keys.items():
        dtype, shape, digest = truth[truth_key]
        count = int(np.prod(shape))
        read = example.floats if dtype == "<f4" else example.integers
        values = read(key, count)
        stored = values.astype(dtype)
        assert np.array_equal(stored, values), f"{key} does not fit {dtype}"
        assert hashlib.sha256(stored.tobytes()).hexdigest() == digest, key


def test_nothing_is_decoded_before_it_is_asked_for():
    example = Example(join_example({**PARTS, "flow": field(3, field(1, b"\xff" * 1000))}))
    assert example.texts("name", 3)[0] == "a video"
    with pytest.raises(ValueError, match="flow is damaged: its last number does not end"):
        example.integers("flow")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda example: example.integers("size"), "size is missing"),
        (lambda example: example.kind("size"), "size is missing"),
        (lambda example: example.floats("label"), "label holds int64 values; float is asked for"),
        (lambda example: example.texts("speed"), "speed holds float values; bytes is asked for"),
        (lambda example: example.floats("speed", 4), "speed holds 3 values; expected are 4"),
        (lambda example: example.bytes_list("name", 2), "name holds 3 values; expected are 2"),
        (lambda example: example.integers("label", 0), "label holds 12 values; expected are 0"),
    ],
)
def test_a_wrong_question_names_the_key(read, message):
    with pytest.raises(ValueError, match=message):
        read(Example(join_example(PARTS)))


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (field(3, field(1, b"\x80" * 10 + b"\x01")), "x is damaged: a number of 11 bytes"),
        (field(3, field(1, b"\x05\x80")), "x is damaged: its last number does not end"),
        (field(3, b"\x0d" + bytes(4)), "x is damaged: a int64 of wire type 5"),
        (field(2, field(1, bytes(5))), "x is damaged: 5 bytes are no floats"),
        (field(1, field(1, b"\xff")), "x is damaged: 'utf-8' codec"),
        (field(3, b"\x0b"), "the Example is damaged: wire type 3"),
        (field(3, field(1, bytes(5))[:-1]), "the Example is damaged: a field ends at byte"),
    ],
    ids=["too long", "no end", "wire type", "floats", "text", "group", "cut off"],
)
def test_a_damaged_list_is_named_when_it_is_read(feature, message):
    example = Example(join_example({"x": feature}))
    read = {"bytes": example.texts, "float": example.floats, "int64": example.integers}
    with pytest.raises(ValueError, match=message):
        read[example.kind("x")]("x")


@pytest.mark.parametrize(
    "data",
    [
        varint(1 << 3) + varint(5),
        field(1, varint(1 << 3) + varint(5)),
        field(1, field(1, varint(1 << 3) + varint(5))),
        field(1, field(1, field(1, b"x") + varint(2 << 3) + varint(5))),
        field(1, field(1, field(1, b"x") + field(2, varint(3 << 3) + varint(5)))),
    ],
    ids=["Features", "entry", "key", "Feature", "list"],
)
def test_a_message_must_be_one_on_every_level(data):
    with pytest.raises(ValueError, match="the Example is damaged: wire type 0 at"):
        Example(data)


def test_two_lists_in_one_feature_are_refused():
    with pytest.raises(ValueError, match="x is damaged: it holds two lists"):
        Example(join_example({"x": int_feature(1) + int_feature(2)}))


def test_a_message_that_is_cut_off_anywhere():
    data = join_example(PARTS)
    for size in range(1, len(data)):
        with pytest.raises(ValueError, match="the Example is damaged"):
            Example(data[:size])


def test_damage_is_a_value_error_or_another_value():
    data, rng = join_example(PARTS), random.Random(2)
    outcomes = set()
    for _ in range(3000):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] = rng.randrange(256)
        try:
            example = Example(bytes(damaged))
            for key in example.keys:
                read = {"float": example.floats, "int64": example.integers}
                read.get(example.kind(key), example.texts)(key)
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
