"""Damaged IDX files, and a strict reader of its own to judge who reads them."""

import gzip
import itertools
import math
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

MIB = 2**20
LARGEST = 2**28  # bytes, more than any of the files unpacks to
SIZES = (0, 1, 2, 5, 2**16, 2**31, 2**31 + 1, 2**32 - 1)  # products up to 2**96
COUNTS = [(i, j, part) for i in range(1, 8) for j in range(1, 8) for part in ("train", "t10k")]
RANDOM = 2500  # cases of each kind
NAMES = {3: "images-idx3-ubyte", 1: "labels-idx1-ubyte"}


class Case(NamedTuple):
    """A file, damaged or not, to be read as one of so many axes."""

    name: str
    content: bytes
    gzipped: bool
    axes: int


def cases() -> Iterator[Case]:
    """More than 10,000 files."""
    rng = np.random.default_rng(16)
    for shape in ((5, 4, 2), (3, 28, 28), (7,), (300,)):
        sound = idx(rng.integers(256, size=shape, dtype=np.uint8))
        for gzipped in (False, True):
            whole = gzip.compress(sound, mtime=0) if gzipped else sound
            for end in range(len(whole) + 1):
                yield Case(f"{shape} cut at {end}", whole[:end], gzipped, len(shape))
            yield from _flipped(f"{shape}", whole, gzipped, len(shape))
            yield from _headers(sound, gzipped, len(shape))
            yield from _followed(sound, gzipped, len(shape))
    for shape in itertools.product(SIZES, repeat=3):
        yield from _both(f"lengths {shape}", header(*shape) + bytes(40), 3)
    for length in SIZES:
        yield from _both(f"{length} labels", header(length) + bytes(5), 1)
    yield from _large()


def _both(name: str, content: bytes, axes: int) -> Iterator[Case]:
    yield Case(name, content, False, axes)
    yield Case(f"{name}, gzipped", gzip.compress(content), True, axes)


def _flipped(name: str, whole: bytes, gzipped: bool, axes: int) -> Iterator[Case]:
    """Up to three bytes are others, at random places; a quarter of the time near the start."""
    draw = random.Random(name)
    for number in range(RANDOM // 8):
        damaged = bytearray(whole)
        end = len(whole) if number % 4 else 12
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(end)] ^= draw.randrange(1, 256)
        yield Case(f"{name} flipped {number}", bytes(damaged), gzipped, axes)


def _headers(sound: bytes, gzipped: bool, axes: int) -> Iterator[Case]:
    """Each value of each byte of the magic number: types, ranks, byte orders."""
    for place, value in itertools.product(range(4), range(0, 256, 3)):
        content = sound[:place] + bytes([value]) + sound[place + 1 :]
        content = gzip.compress(content) if gzipped else content
        yield Case(f"byte {place} is {value}", content, gzipped, axes)


def _followed(sound: bytes, gzipped: bool, axes: int) -> Iterator[Case]:
    """More bytes behind the data; of zipped files also several parts, empty parts and blanks."""
    more = [b"\0" * 2**n for n in range(0, 18, 4)] + [random.Random(n).randbytes(n) for n in (1, 9)]
    for tail in more:
        if not gzipped:
            yield Case(f"{len(tail)} bytes more", sound + tail, False, axes)
            continue
        yield Case(f"{len(tail)} bytes more inside", gzip.compress(sound + tail), True, axes)
        yield Case(f"{len(tail)} bytes behind", gzip.compress(sound) + tail, True, axes)
    if gzipped:
        yield Case("plain", sound, True, axes)
        for cut in range(0, len(sound), max(1, len(sound) // 20)):
            parts = gzip.compress(sound[:cut]) + gzip.compress(sound[cut:])
            yield Case(f"two parts at {cut}", parts, True, axes)
        yield Case("empty parts", gzip.compress(b"") * 2000 + gzip.compress(sound), True, axes)
    else:
        yield Case("gzip under a plain name", gzip.compress(sound), False, axes)


def _large() -> Iterator[Case]:
    """Large honest files, claims with little behind them, and bombs: up to 256 MiB unpacked."""
    noise, zeros = np.random.default_rng(0).bytes(2 * MIB), bytes(2 * MIB)
    for name, body in (("noise", noise), ("zeros", zeros)):
        for size in (2 * MIB, 2 * MIB - 1, 2 * MIB + 1, 900 * MIB, 2**31, 2**32 - 1):
            yield from _both(f"{size} claimed, 2 MiB of {name}", header(1, size, 1) + body, 3)
    bomb = gzip.compress(bytes(16 * MIB))
    for shape in ((5, 4, 2), (1, 1, 1), (5, 400, 200)):
        yield Case(f"bomb behind {shape}", gzip.compress(header(*shape)) + bomb * 16, True, 3)
    yield Case("bomb alone", bomb, True, 1)
    yield Case("a bomb of bombs", gzip.compress(header(40) + bomb * 64), True, 1)


def header(*shape: int) -> bytes:
    """Of an IDX file with the usual magic number."""
    return bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)


def idx(array: np.ndarray) -> bytes:
    """A sound file."""
    return header(*array.shape) + array.tobytes()


def write_folder(folder: Path, images: int, labels: int, part: str) -> None:
    """Four sound files, with so many images and labels in one of the parts and 2 in the other."""
    for name in ("train", "t10k"):
        counts = (images, labels) if name == part else (2, 2)
        for axes, count in zip(NAMES, counts, strict=True):
            array = np.ones((count, 3, 2)[:axes], np.uint8)
            (folder / f"{name}-{NAMES[axes]}").write_bytes(idx(array))


def strictly_read(
    _name: str, content: bytes, gzipped: bool, axes: int
) -> tuple[np.ndarray | None, int]:
    """The array, or None if the file is not sound to the last byte; and what there was to read.

    That is the number of unpacked bytes, up to one more than the header claims: what an honest
    reader has to hold. A file without samples or pixels is not sound.
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
    """The number of bytes that a header promises; 0 if it is none."""
    if len(data) < 4 + 4 * axes or data[:4] != bytes([0, 0, 8, axes]):
        return 0
    return math.prod(int.from_bytes(data[4 * i : 4 * i + 4], "big") for i in range(1, axes + 1))


def _unzip(content: bytes, most: int) -> tuple[bytes, bool]:
    """Up to `most` bytes out of gzip's members by RFC 1952, and whether all of them are sound.

    As every known reader it looks past the bits of a header that mean nothing to the data, and past
    zeros that fill up a file. Deflated data are left to zlib.
    """
    out = bytearray()
    while True:
        start = _behind_gzip_header(content)
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


def _behind_gzip_header(content: bytes) -> int | None:
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
