"""Damaged IDX files, and an independent strict reader to compare `minicnn.datasets` with."""

import gzip
import itertools
import math
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests import idx_files
from tests.idx_files import header, idx

MIB = 2**20
LARGEST = 2**28  # bytes, more than any of the files unpacks to
SIZES = (0, 1, 2, 5, 2**16, 2**31, 2**31 + 1, 2**32 - 1)  # products up to 2**96
COUNTS = [(i, j, part) for i in range(1, 8) for j in range(1, 8) for part in ("train", "test")]
RANDOM = 2500  # cases of each kind


class Case(NamedTuple):
    """A file, damaged or not, and the number of axes to read it with."""

    name: str
    content: bytes
    gzipped: bool
    axes: int


def cases() -> Iterator[Case]:
    """More than 10,000 files."""
    rng = np.random.default_rng(16)
    for shape in ((5, 4, 2), (3, 28, 28), (7,), (300,)):
        valid = idx(rng.integers(256, size=shape, dtype=np.uint8))
        for gzipped in (False, True):
            whole = gzip.compress(valid, mtime=0) if gzipped else valid
            for end in range(len(whole) + 1):
                yield Case(f"{shape} cut at {end}", whole[:end], gzipped, len(shape))
            yield from _flipped(f"{shape}", whole, gzipped, len(shape))
            yield from _headers(valid, gzipped, len(shape))
            yield from _followed(valid, gzipped, len(shape))
    for shape in itertools.product(SIZES, repeat=3):
        yield from _both(f"lengths {shape}", header(*shape) + bytes(40), 3)
    for length in SIZES:
        yield from _both(f"{length} labels", header(length) + bytes(5), 1)
    yield from _large()


def _both(name: str, content: bytes, axes: int) -> Iterator[Case]:
    yield Case(name, content, False, axes)
    yield Case(f"{name}, gzipped", gzip.compress(content), True, axes)


def _flipped(name: str, whole: bytes, gzipped: bool, axes: int) -> Iterator[Case]:
    """Up to three bytes changed at random places; a quarter of the time near the start."""
    draw = random.Random(name)
    for number in range(RANDOM // 8):
        damaged = bytearray(whole)
        end = len(whole) if number % 4 else 12
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(end)] ^= draw.randrange(1, 256)
        yield Case(f"{name} flipped {number}", bytes(damaged), gzipped, axes)


def _headers(valid: bytes, gzipped: bool, axes: int) -> Iterator[Case]:
    """Each value of each byte of the magic number: types, ranks, byte orders."""
    for place, value in itertools.product(range(4), range(0, 256, 3)):
        content = valid[:place] + bytes([value]) + valid[place + 1 :]
        content = gzip.compress(content) if gzipped else content
        yield Case(f"byte {place} is {value}", content, gzipped, axes)


def _followed(valid: bytes, gzipped: bool, axes: int) -> Iterator[Case]:
    """More bytes after the data; of gzip files also several members, empty ones and zeros."""
    more = [b"\0" * 2**n for n in range(0, 18, 4)] + [random.Random(n).randbytes(n) for n in (1, 9)]
    for tail in more:
        if not gzipped:
            yield Case(f"{len(tail)} bytes more", valid + tail, False, axes)
            continue
        yield Case(f"{len(tail)} bytes more inside", gzip.compress(valid + tail), True, axes)
        yield Case(f"{len(tail)} bytes after", gzip.compress(valid) + tail, True, axes)
    if gzipped:
        yield Case("plain", valid, True, axes)
        for cut in range(0, len(valid), max(1, len(valid) // 20)):
            parts = gzip.compress(valid[:cut]) + gzip.compress(valid[cut:])
            yield Case(f"two members at {cut}", parts, True, axes)
        yield Case("empty members", gzip.compress(b"") * 2000 + gzip.compress(valid), True, axes)
    else:
        yield Case("gzip under a plain name", gzip.compress(valid), False, axes)


def _large() -> Iterator[Case]:
    """Headers that claim more than there is, and gzip bombs: up to 256 MiB unpacked."""
    noise, zeros = np.random.default_rng(0).bytes(2 * MIB), bytes(2 * MIB)
    for name, body in (("noise", noise), ("zeros", zeros)):
        for size in (2 * MIB, 2 * MIB - 1, 2 * MIB + 1, 900 * MIB, 2**31, 2**32 - 1):
            yield from _both(f"{size} claimed, 2 MiB of {name}", header(1, size, 1) + body, 3)
    bomb = gzip.compress(bytes(16 * MIB))
    for shape in ((5, 4, 2), (1, 1, 1), (5, 400, 200)):
        yield Case(f"bomb after {shape}", gzip.compress(header(*shape)) + bomb * 16, True, 3)
    yield Case("bomb alone", bomb, True, 1)
    yield Case("a bomb of bombs", gzip.compress(header(40) + bomb * 64), True, 1)


def write_folder(folder: Path, images: int, labels: int, part: str) -> None:
    """Four valid files, with so many images and labels in one of the parts and 2 in the other."""
    arrays = {}
    for name in ("train", "test"):
        counts = (images, labels) if name == part else (2, 2)
        arrays |= {f"x_{name}": np.ones((counts[0], 3, 2)), f"y_{name}": np.ones(counts[1])}
    idx_files.write_folder(folder, arrays)


def strictly_read(
    _name: str, content: bytes, gzipped: bool, axes: int
) -> tuple[np.ndarray | None, int]:
    """The array, or None if the file is not valid to the last byte; and how much there was to read.

    The latter is the number of unpacked bytes, up to one more than the header claims: what any
    reader has to hold. A file without samples or pixels is not valid.
    """
    start = 4 + 4 * axes
    claim = header_claim(content if not gzipped else _unzip(content, start)[0], axes)
    data, whole = _unzip(content, start + claim + 1) if gzipped else (content, True)
    data = data[: start + claim + 1]
    lengths = [int.from_bytes(data[4 * i : 4 * i + 4], "big") for i in range(1, axes + 1)]
    if not (whole and claim and data[:4] == bytes([0, 0, 8, axes]) and len(data) == start + claim):
        return None, len(data)
    return np.frombuffer(data[start:], np.uint8).reshape(lengths), len(data)


def header_claim(data: bytes, axes: int) -> int:
    """The number of bytes that a header claims; 0 if it is no header."""
    if len(data) < 4 + 4 * axes or data[:4] != bytes([0, 0, 8, axes]):
        return 0
    return math.prod(int.from_bytes(data[4 * i : 4 * i + 4], "big") for i in range(1, axes + 1))


def _unzip(content: bytes, most: int) -> tuple[bytes, bool]:
    """Up to `most` bytes of gzip members by RFC 1952, and whether all members are valid.

    Like other readers it ignores header bits that do not affect the data, and zeros that pad a
    file. Inflating is left to zlib.
    """
    out = bytearray()
    while True:
        start = _end_of_gzip_header(content)
        if start is None:
            return bytes(out), False
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        try:
            part = inflater.decompress(content[start:], min(most - len(out) + 1, LARGEST))
        except zlib.error:
            return bytes(out), False
        out += part
        if not inflater.eof:
            return bytes(out), False
        trailer, content = inflater.unused_data[:8], inflater.unused_data[8:]
        length = len(part) % 2**32
        if trailer != zlib.crc32(part).to_bytes(4, "little") + length.to_bytes(4, "little"):
            return bytes(out), False
        content = content.lstrip(b"\0")
        if not content:
            return bytes(out), True


def _end_of_gzip_header(content: bytes) -> int | None:
    """Where the deflated data of the first member begin; None if no member begins here."""
    if len(content) < 10 or content[:3] != b"\x1f\x8b\x08":
        return None
    flags, end = content[3], 10
    if flags & 4:  # an extra field, after its length
        end += 2 + int.from_bytes(content[10:12], "little")
    for flag in (8, 16):  # a name and a comment, each with a zero at its end
        if flags & flag:
            zero = content.find(0, end)
            if zero < 0:
                return None
            end = zero + 1
    if flags & 2:  # a checksum of the header
        end += 2
    return end if end <= len(content) else None
