"""Reads tf.train.Example, the message in a TFRecord, without protobuf.

An Example is Features, a map of keys to Feature, and a Feature is one list of bytes, floats or
integers. Reading one only notes where each list lies: values are decoded when they are asked for,
and what nobody asks for costs nothing.

In the wire format a message is a row of fields; each starts with number << 3 | wire type. Numbers
are varints: 7 bits a byte, the lowest first, and the top bit says that another byte follows.
"""

from collections.abc import Iterator, Sized
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Values = TypeVar("Values", bound=Sized)
Kind = Literal["bytes", "float", "int64"]
KINDS: dict[int, Kind] = {1: "bytes", 2: "float", 3: "int64"}
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
VARINT_BYTES = 10  # at most, for 64 bits


class Value(NamedTuple):
    """One field of a message: its wire type, and where its content lies."""

    wire_type: int
    start: int
    stop: int


class Feature(NamedTuple):
    """Where the list of one key lies in the data."""

    kind: Kind
    start: int
    stop: int


class Example:
    """The features of one tf.train.Example.

    Args:
        data: The message.

    Raises:
        ValueError: If the message is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._features: dict[str, Feature | None] = {}
        # An Example's field 1 is Features, of which field 1 is an entry of the map.
        for number, features in _parts(data, 0, len(data)):
            if number == 1:
                for entry_number, entry in _parts(data, *_inside(features)):
                    if entry_number == 1:
                        self._add(*_inside(entry))

    def __contains__(self, key: str) -> bool:
        return key in self._features

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys, in the order of the message."""
        return tuple(self._features)

    def kind(self, key: str) -> Kind | None:
        """Return the kind of a key's list; None for a feature without a list."""
        feature = self._feature(key)
        return feature and feature.kind

    def bytes_list(self, key: str, count: int | None = None) -> list[bytes]:
        """Return a list of byte strings.

        Args:
            key: The feature's key.
            count: How many values there must be; None: any number.

        Raises:
            ValueError: If the key is missing, damaged, or of another kind or number.
        """
        values = [self._data[value.start : value.stop] for value in self._values(key, "bytes")]
        return _counted(values, key, count)

    def texts(self, key: str, count: int | None = None) -> list[str]:
        """Return a list of byte strings that hold UTF-8; see `bytes_list`."""
        try:
            return [value.decode() for value in self.bytes_list(key, count)]
        except UnicodeDecodeError as error:
            raise ValueError(f"{key} is damaged: {error}") from None

    def floats(self, key: str, count: int | None = None) -> NDArray[np.float32]:
        """Return a list of floats, shape (N,); see `bytes_list`."""
        data = self._joined(key, "float")
        if len(data) % 4:
            raise ValueError(f"{key} is damaged: {len(data)} bytes are no floats")
        return _counted(np.frombuffer(data, "<f4").astype(np.float32, copy=False), key, count)

    def integers(self, key: str, count: int | None = None) -> NDArray[np.int64]:
        """Return a list of integers, shape (N,); see `bytes_list`."""
        return _counted(_decode_varints(self._joined(key, "int64"), key), key, count)

    def _joined(self, key: str, kind: Kind) -> bytes:
        """Return the bytes of all numbers of a list, which may lie in several pieces."""
        return b"".join(self._data[value.start : value.stop] for value in self._values(key, kind))

    def _values(self, key: str, kind: Kind) -> Iterator[Value]:
        """Yield the pieces of a list: single values or packed ones, which look the same."""
        feature = self._feature(key)
        if feature is None:  # an empty list may be left out
            return
        if feature.kind != kind:
            raise ValueError(f"{key} holds {feature.kind} values; {kind} is asked for")
        single = {"bytes": DELIMITED, "float": FIXED32, "int64": VARINT}[kind]
        for number, value in _parts(self._data, feature.start, feature.stop):
            if number == 1 and value.wire_type not in (single, DELIMITED):
                raise ValueError(f"{key} is damaged: a {kind} of wire type {value.wire_type}")
            if number == 1:
                yield value

    def _feature(self, key: str) -> Feature | None:
        if key not in self._features:
            raise ValueError(f"{key} is missing")
        return self._features[key]

    def _add(self, start: int, stop: int) -> None:
        """Note an entry of the map: its key and where its feature's list lies."""
        key, feature = "", None
        # Of an entry, field 1 is the key and field 2 the Feature, whose field says its kind.
        for number, value in _parts(self._data, start, stop):
            if number == 1:
                key = self._data[slice(*_inside(value))].decode()
            elif number == 2:
                for kind, values in _parts(self._data, *_inside(value)):
                    if kind in KINDS and feature is not None:
                        raise ValueError(f"{key} is damaged: it holds two lists")
                    if kind in KINDS:
                        feature = Feature(KINDS[kind], *_inside(values))
        self._features[key] = feature


def _parts(data: bytes, start: int, stop: int) -> Iterator[tuple[int, Value]]:
    """Yield number and content of each field of a message."""
    while start < stop:
        tag, start = _varint(data, start, stop)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            end = _varint(data, start, stop)[1]
        elif wire_type == DELIMITED:
            length, start = _varint(data, start, stop)
            end = start + length
        elif wire_type in (FIXED32, FIXED64):
            end = start + (4 if wire_type == FIXED32 else 8)
        else:
            raise ValueError(f"the Example is damaged: wire type {wire_type} before byte {start}")
        if end > stop:
            raise ValueError(
                f"the Example is damaged: a field ends at byte {end} instead of {stop}"
            )
        yield number, Value(wire_type, start, end)
        start = end


def _counted(values: Values, key: str, count: int | None) -> Values:
    """Return the values, once there are as many as expected."""
    if count is not None and len(values) != count:
        raise ValueError(f"{key} holds {len(values)} values; expected are {count}")
    return values


def _inside(value: Value) -> tuple[int, int]:
    """Return where the content of a field lies that must be a message or a text."""
    if value.wire_type != DELIMITED:
        raise ValueError(f"the Example is damaged: wire type {value.wire_type} at {value.start}")
    return value.start, value.stop


def _varint(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """Return the number at `start`, and where it ends."""
    number = 0
    for position in range(start, min(stop, start + VARINT_BYTES)):
        number |= (data[position] & 0x7F) << 7 * (position - start)
        if data[position] < 0x80:  # no byte follows
            return number, position + 1
    raise ValueError(f"the Example is damaged: the number at byte {start} does not end")


def _decode_varints(data: bytes, key: str) -> NDArray[np.int64]:
    """Return all numbers of a row of varints; `key` is named where they are damaged."""
    octets = np.frombuffer(data, np.uint8)  # (bytes,)
    last = np.flatnonzero(octets < 0x80)  # of each number
    if len(octets) and (not len(last) or last[-1] != len(octets) - 1):
        raise ValueError(f"{key} is damaged: its last number does not end")
    lengths = np.diff(last, prepend=-1)  # (N,), in bytes
    longest = int(lengths.max(initial=1))
    if longest > VARINT_BYTES:
        raise ValueError(f"{key} is damaged: a number of {longest} bytes; allowed are 10")
    septets = octets & 0x7F  # without the bit that says whether it goes on
    # One pass for each byte that a number may have, over all numbers at once: (N,).
    numbers = septets[last].astype(np.uint64)
    for position in range(1, longest):  # from the highest bits, which come last, to the lowest
        goes_on = lengths > position
        numbers <<= np.where(goes_on, np.uint64(7), np.uint64(0))
        numbers |= np.where(goes_on, septets[last - position], 0)
    return numbers.view(np.int64)  # negative ones are stored as their two's complement
