"""Whether the first bytes of a file can be what its name says. Pure; it proves nothing about the rest of the file."""

from __future__ import annotations

import codecs

from schemas.files import FileFormat

HEAD_BYTES = 64 * 1024
PARQUET_MARK = b"PAR1"
# Encrypted footers end so; readers without the key still name the problem.
_PARQUET_MARKS = (PARQUET_MARK, b"PARE")
_MAGIC = (
    (b"\x1f\x8b", "it is compressed with gzip; decompress it first"),
    (b"PK\x03\x04", "it is a zip archive, as spreadsheets are; extract or export it as text first"),
    (b"BZh", "it is compressed with bzip2; decompress it first"),
    (b"\xfd7zXZ\x00", "it is compressed with xz; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; decompress it first"),
    (PARQUET_MARK, "it is a Parquet file; name it .parquet"),
    (b"\xff\xfe", "it is UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16 text; save it as UTF-8"),
)
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1a\x1b")
# Western text in Latin-1 has a few letters above ASCII; noise has half of its bytes there.
_MOST_HIGH_BYTES = 0.3


def content_fault(head: bytes, tail: bytes, format_: FileFormat) -> str | None:
    """None if the content may be of this format, else why not. `head` is up to HEAD_BYTES, `tail` the last four."""
    if not head:
        return "it is empty"
    if format_ == "parquet":
        return _parquet_fault(head, tail)
    return _text_fault(head, format_)


def _text_fault(head: bytes, format_: FileFormat) -> str | None:
    for magic, reason in _MAGIC:
        if head.startswith(magic):
            return reason
    if b"\x00" in head:
        return f"it is binary: a NUL byte at position {head.index(0)}"
    if _is_utf8(head) or (format_ == "csv" and _looks_latin1(head)):
        return None
    return (
        "it is binary: neither UTF-8 nor Latin-1 text" if format_ == "csv" else f"it is not UTF-8, as {format_} must be"
    )


def _parquet_fault(head: bytes, tail: bytes) -> str | None:
    if head[:4] in _PARQUET_MARKS and tail in _PARQUET_MARKS and len(head) >= 12:
        return None
    return "it is not a Parquet file, or half of one: the mark PAR1 must stand at both ends"


def _is_utf8(head: bytes) -> bool:
    try:
        # Not final: the head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return False
    return True


def _looks_latin1(head: bytes) -> bool:
    if any(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in set(head)):
        return False
    return sum(byte >= 0x80 for byte in head) <= _MOST_HIGH_BYTES * len(head)
