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
    more = [bytes(2**n) for n in range(0, 18, 4)] + [random.Random(n).randbytes(n) for n in (1, 9)]
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


def strictly_read(case: Case) -> tuple[np.ndarray | None, int]:
    """The array, or None if the file is not valid to the last byte; and how much there was to read.

    The latter is the number of unpacked bytes, up to one more than the header claims: what any
    reader has to hold. A file without samples or pixels is not valid.
    """
    magic, start = bytes([0, 0, 8, case.axes]), 4 + 4 * case.axes
    unpack = _unzip if case.gzipped else lambda content, most: (content[:most], True)
    head, _ = unpack(case.content, start)
    lengths = [int.from_bytes(head[4 * i : 4 * i + 4], "big") for i in range(1, case.axes + 1)]
    claim = math.prod(lengths) if len(head) >= start and head[:4] == magic else 0
    data, whole = unpack(case.content, start + claim + 1)
    data = data[: start + claim + 1]
    if not (whole and claim and len(data) == start + claim):
        return None, len(data)
    return np.frombuffer(data[start:], np.uint8).reshape(lengths), len(data)


def _unzip(content: bytes, most: int) -> tuple[bytes, bool]:
    """Up to `most` bytes of gzip members and one more, and whether all members are valid.

    Members are left to zlib. Like other readers it ignores zeros that pad a file, and header bits
    that have no meaning (zlib does not: they are removed).
    """
    out = bytearray()
    while content:
        content = content[:3] + bytes(flags & 31 for flags in content[3:4]) + content[4:]
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            out += member.decompress(content, min(most - len(out) + 1, LARGEST))
        except zlib.error:
            return bytes(out), False
        if not member.eof:
            return bytes(out), False
        content = member.unused_data.lstrip(b"\0")
    return bytes(out), True
