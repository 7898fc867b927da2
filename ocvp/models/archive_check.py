"""Whether a zip archive of torch.save is whole: its records are there, and match their checksums.

torch's loader checks no checksum, so that a flipped bit in a weight is another weight. Files in the
format of torch 1.5 and older have none.
"""

import zipfile
from pathlib import Path

DOS_FOLDER = 0x10
"""The bit of a record's attributes by which torch (2.15) takes it for a folder: it then reads
nothing, and the tensor is what its memory held before."""


def check_archive(path: Path) -> None:
    """Check every record of an archive against the checksum that the archive has of it.

    Args:
        path: A zip archive.

    Raises:
        ValueError: If a record is damaged, compressed, marked as a folder, or larger than the file,
            naming it.
    """
    left = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            if record.is_dir() or record.external_attr & DOS_FOLDER:
                raise ValueError(f"its record {_name(record)} is marked as a folder")
            # torch writes records as they are. Compressed, a small file could unfold to any size.
            left -= record.file_size
            if record.compress_type != zipfile.ZIP_STORED or left < 0:
                raise ValueError(
                    f"its record {_name(record)} is compressed, or is said to have "
                    f"{record.file_size} bytes, which the file has not"
                )
        for record in archive.infolist():
            _check_record(archive, record)


def _check_record(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> None:
    try:
        with archive.open(record) as content:
            while content.read(1 << 20):
                pass
    except zipfile.BadZipFile:
        unchecked = "torch.serialization.set_crc32_options(False)"
        hint = f"; if it was saved with {unchecked}, save it without" if record.CRC == 0 else ""
        text = f"its record {_name(record)} does not match its checksum{hint}"
        raise ValueError(text) from None


def _name(record: zipfile.ZipInfo) -> str:
    return ascii(record.filename)[:80]
