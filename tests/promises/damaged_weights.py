"""Damaged NPZ files of weights, made from a valid one."""

import io
import itertools
import os
import pickle
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BOMB = 2**24  # bytes, decompressed
ROUNDS = 2  # of flipping each byte once
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
SHAPES = (  # the third has 2**64 cells, which are 0 in 64 bits
    *("(2147483648,)", "(4294967295, 4294967295)", "(4611686018427387904, 4)"),
    *("(9223372036854775807,)", "(99999999999999999999,)", "(1000000000,)", "(0,)", "(-1,)", "()"),
)


class Case(NamedTuple):
    """A file, the only arrays it may be read as, and whether it has to be readable."""

    name: str
    content: bytes
    arrays: list[np.ndarray] | None
    valid: bool = False


class Trace:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def cases(content: bytes, trace: Path) -> Iterator[Case]:
    """More than 1,000 files; those that hold pickled code create the folder `trace` if it runs."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        valid = dict(file)
    arrays = list(valid.values())
    yield Case("valid", content, arrays, valid=True)
    for end in range(len(content)):
        yield Case(f"cut at {end}", content[:end], None)
    for tail in (b"\0", b"more", bytes(70_000)):
        yield Case(f"{len(tail)} bytes more", content + tail, arrays)
    draw = random.Random(17)
    for number, place in itertools.product(range(ROUNDS), range(len(content))):
        damaged = bytearray(content)
        damaged[place] ^= draw.randrange(1, 256)
        yield Case(f"byte {place} flipped, {number}", bytes(damaged), arrays)
    yield from _pickles(valid, trace)
    yield from _archives(valid)
    members = _members(valid)
    for name, array in zip(members, arrays, strict=True):
        yield from _renamed(members, name, array)
        for (what, other), packed in itertools.product(_other_arrays(array), PACKED):
            yield Case(f"{name}: {what}", _zip(members | {name: other}, packed), None)
        for what, other in _headers(members[name]):
            yield Case(f"{name}: {what}", _zip(members | {name: other}), None)
    yield from _bombs(members, next(iter(members)))


def _pickles(valid: dict[str, np.ndarray], trace: Path) -> Iterator[Case]:
    payload = Trace(trace)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield Case("a pickle", pickle.dumps(payload, protocol), None)
    yield Case("a pickled array", _npy(np.array([payload], object)), None)
    for key, array in valid.items():
        objects = np.empty(array.shape, object)
        objects[...] = payload
        for dtype, packed in itertools.product((object, [("a", object)]), PACKED):
            members = _members(valid | {key: objects.astype(dtype)})
            yield Case(f"{key} of {dtype}", _zip(members, packed), None)
        # Pickled code after a header of numbers, and in the place of an array.
        for head in (_npy(array)[:128], b""):
            code = {f"{key}.npy": head + pickle.dumps(payload)}
            yield Case(f"{key}: code", _zip(_members(valid) | code), None)


def _archives(valid: dict[str, np.ndarray]) -> Iterator[Case]:
    """Other ways to put the same arrays into a zip."""
    arrays, members = list(valid.values()), _members(valid)
    yield Case("deflated", _zip(members, zipfile.ZIP_DEFLATED), arrays, valid=True)
    yield Case("reordered", _zip(dict(reversed(members.items()))), arrays, valid=True)
    for packed in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield Case("compressed otherwise", _zip(members, packed), None)
    yield Case("an empty archive", _zip({}), None)
    yield Case("many names", _zip({f"{n}.npy": b"" for n in range(3000)}), None)
    yield Case("in itself", _zip({"w.npz": _zip(members)}), None)
    for dtype in ("f2", "f8", ">f4", "g"):
        other = {key: array.astype(dtype) for key, array in valid.items()}
        values = [array.astype("f4") for array in other.values()]
        yield Case(f"in {dtype}", _zip(_members(other)), values, valid=True)
    by_columns = {key: np.asfortranarray(array) for key, array in valid.items()}
    yield Case("by columns", _zip(_members(by_columns)), arrays, valid=True)


def _renamed(members: dict[str, bytes], name: str, array: np.ndarray) -> Iterator[Case]:
    """Names that are missing, there twice, unexpected, or lead out of the archive."""
    content, without = members[name], {n: c for n, c in members.items() if n != name}
    yield Case(f"{name} missing", _zip(without), None)
    for second in (content, _npy(np.zeros_like(array)), b""):
        yield Case(f"{name} twice", _zip(members, twice=(name, second)), None)
    key = name.removesuffix(".npy")
    base = key.rpartition("/")[2]
    for other in (
        *(key, base, f"{base}.npy", f"{key}.NPY", f"{key}.npy.npy", f"{key} .npy", f"{key}/.npy"),
        *(f"../{name}", f"../../{base}.npy", f"/{name}", f"./{name}", f"C:\\{base}.npy"),
        *(f"..\\{base}.npy", f"{name}/", f"{key.upper()}.npy", f"x/../{name}", ".npy", ""),
        f"/tmp/{base}.npy",
    ):
        yield Case(f"{name} as {other!r}", _zip(without | {other: content}), None)
        if other != name:
            yield Case(f"{name} and {other!r}", _zip(members | {other: content}), None)


def _other_arrays(array: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Arrays of other types and shapes."""
    others: list[Any] = [array.astype(dtype) for dtype in ("i1", "u1", "i4", "i8", "?", "F", "D")]
    others += [np.zeros(array.shape, dtype) for dtype in ("S4", "U1", "M8[s]", "m8[s]", "V4")]
    others += [np.zeros(array.shape, [("a", "f4")]), np.zeros(array.shape, "(1,)f4")[..., None]]
    others += [array[None], array[..., None], array[:-1], array[..., :-1], np.float32(1)]
    others += [np.concatenate([array, array]), np.zeros(0, "f4"), np.zeros((4, 5), "f4")]
    others += [array.ravel(), array.T] if array.ndim > 1 else []
    for other in map(np.asarray, others):
        yield f"{other.shape} of {other.dtype}", _npy(other)


def _headers(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Headers that claim too much, are too long, or are none."""
    for shape, dtype in itertools.product(SHAPES, ("<f4", "<f8", "|S1000000000")):
        text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
        yield shape, content[:10] + text.ljust(117).encode() + b"\n" + content[128:]
    for version in (b"\x02\x00\xff\xff\xff\x7f", b"\x01\x00\xff\xff", b"\x03\x00\x10\x00\x00\x00"):
        yield f"version {version}", content[:6] + version + content[10:] + bytes(2**16)
    for text in (b"(" * 9000, b"[" * 9000, b"{'descr': " * 900, b"\\N{" * 2000):
        length = len(text).to_bytes(2, "little")
        yield f"header {text[:9]}", content[:8] + length + text + content[128:]


def _bombs(members: dict[str, bytes], name: str) -> Iterator[Case]:
    """Members that decompress to many MiB, and directories that state other sizes."""
    content = members[name]
    packings = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    for packed, start in itertools.product(packings, (content, content[:128], b"")):
        whole = _zip(members | {name: start + bytes(BOMB)}, packed)
        yield Case(f"{name}: a bomb", whole, None)
        for size in (len(content), 2**32 - 2):  # as stated in the directory
            lie = whole.replace(_le(len(start) + BOMB), _le(size))
            yield Case(f"{name}: a bomb said to be of {size}", lie, None)


def _le(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def _members(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {f"{key}.npy": _npy(array) for key, array in arrays.items()}


def _zip(members: dict[str, bytes], packed: int = zipfile.ZIP_STORED, twice: Any = None) -> bytes:
    """An archive; the member `twice`, a name with content, is added to it again."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, content in [*members.items(), *([twice] if twice else [])]:
            archive.writestr(zipfile.ZipInfo(name), content, packed)
    return file.getvalue()
