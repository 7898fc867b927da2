"""Framing of records, in which both MOVi's videos and TensorBoard's events lie.

A record is, little endian: u64 length, u32 masked CRC-32C of these 8 bytes, `length` bytes of data,
u32 masked CRC-32C of the data. The workflow counts records while it parses, so only the standard
library is imported here: it suffices for lengths. Data need google-crc32c, which is loaded by need.
"""

import struct

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
REFLECTED_POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli)


def framed(data: bytes) -> bytes:
    """Return the record that holds some data.

    Raises:
        ValueError: If google-crc32c is not installed.
    """
    length = len(data)
    return HEADER.pack(length, _length_checksum(length)) + data + footer(data)


def data_length(header: bytes) -> int | None:
    """Return how many bytes of data follow a header; None where its checksum does not match."""
    length, checksum = HEADER.unpack(header)
    return int(length) if checksum == _length_checksum(length) else None


def footer(data: bytes) -> bytes:
    """Return what follows some data: their checksum.

    Raises:
        ValueError: If google-crc32c is not installed.
    """
    try:
        import google_crc32c
    except ImportError as error:
        raise ValueError(
            "TFRecord files are read with google-crc32c, which cannot be imported "
            f"({error}); install it: python -m pip install google-crc32c"
        ) from None
    return FOOTER.pack(_masked(google_crc32c.value(data)))


def _length_checksum(length: int) -> int:
    """Return the checksum of a length, bit by bit: quick for 8 bytes, far too slow for data."""
    crc = 0xFFFFFFFF
    for byte in length.to_bytes(8, "little"):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (REFLECTED_POLYNOMIAL if crc & 1 else 0)
    return _masked(crc ^ 0xFFFFFFFF)


def _masked(crc: int) -> int:
    """Return the form in which a CRC is stored, so that a CRC of data with CRCs is no weaker."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
