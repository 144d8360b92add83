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
SHAPES = (
    "(2147483648,)",
    "(4294967295, 4294967295)",
    "(4611686018427387904, 4)",  # 2**64 cells: 0 in 64 bits
    "(9223372036854775807,)",
    "(99999999999999999999,)",
    "(1000000000,)",
    "(0,)",
    "(-1,)",
    "()",
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
    for key in valid:
        yield from _renamed(valid, key)
        yield from _arrays(valid, key)
        yield from _headers(valid, key)
    yield from _bombs(valid, next(iter(valid)))


def _pickles(valid: dict[str, np.ndarray], trace: Path) -> Iterator[Case]:
    payload = Trace(trace)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield Case("a pickle", pickle.dumps(payload, protocol), None)
    yield Case("a pickled array", _npy(np.array([payload], object)), None)
    for key, array in valid.items():
        objects = np.empty(array.shape, object)
        objects[...] = payload
        for name, dtype in (("objects", object), ("objects in records", [("a", object)])):
            for packed in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                members = _members(valid | {key: objects.astype(dtype)})
                yield Case(f"{key}: {name}", _zip(members, packed), None)
        # Pickled code after a header of numbers, and in the place of an array.
        head = _npy(array)[:128]
        for content in (head + pickle.dumps(payload), pickle.dumps(payload)):
            yield Case(f"{key}: code", _zip(_members(valid) | {f"{key}.npy": content}), None)


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


def _renamed(valid: dict[str, np.ndarray], key: str) -> Iterator[Case]:
    """Names that are missing, there twice, unexpected, or lead out of the archive."""
    members = _members(valid)
    without = {name: content for name, content in members.items() if name != f"{key}.npy"}
    content = members[f"{key}.npy"]
    yield Case(f"{key} missing", _zip(without), None)
    for second in (content, _npy(np.zeros_like(valid[key])), b""):
        yield Case(f"{key} twice", _zip(members, twice=(f"{key}.npy", second)), None)
    base = key.rpartition("/")[2]
    for name in (
        *(key, base, f"{base}.npy", f"{key}.NPY", f"{key}.npy.npy", f"{key} .npy", f"{key}/.npy"),
        *(f"../{key}.npy", f"../../{base}.npy", f"/{key}.npy", f"./{key}.npy", f"C:\\{base}.npy"),
        *(f"..\\{base}.npy", f"{key}.npy/", f"{key.upper()}.npy", f"x/../{key}.npy", ".npy", ""),
        f"/tmp/{base}.npy",
    ):
        yield Case(f"{key} as {name!r}", _zip(without | {name: content}), None)
        if name != f"{key}.npy":
            yield Case(f"{key} and {name!r}", _zip(members | {name: content}), None)


def _arrays(valid: dict[str, np.ndarray], key: str) -> Iterator[Case]:
    """Arrays of other types and shapes under the right name."""
    array = valid[key]
    others: list[Any] = [array.astype(dtype) for dtype in ("i1", "u1", "i4", "i8", "?", "F", "D")]
    others += [np.zeros(array.shape, dtype) for dtype in ("S4", "U1", "M8[s]", "m8[s]", "V4")]
    others += [np.zeros(array.shape, [("a", "f4")]), np.zeros(array.shape, "(1,)f4")[..., None]]
    others += [array[None], array[..., None], array[:-1], array[..., :-1], np.float32(1)]
    others += [np.concatenate([array, array]), np.zeros(0, "f4"), np.zeros((4, 5), "f4")]
    others += [array.ravel(), array.T] if array.ndim > 1 else []
    for other in others:
        changed = _members(valid | {key: np.asarray(other)})
        for packed in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            name = f"{key} of {np.shape(other)} {np.asarray(other).dtype}"
            yield Case(name, _zip(changed, packed), None)


def _headers(valid: dict[str, np.ndarray], key: str) -> Iterator[Case]:
    """Headers that claim too much, are too long, or are none."""
    content = _npy(valid[key])
    for shape in SHAPES:
        for dtype in ("<f4", "<f8", "|S1000000000"):
            text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
            bomb = content[:10] + text.ljust(117).encode() + b"\n" + content[128:]
            yield Case(f"{key} of {shape}", _zip(_members(valid) | {f"{key}.npy": bomb}), None)
    for version in (b"\x02\x00\xff\xff\xff\x7f", b"\x01\x00\xff\xff", b"\x03\x00\x10\x00\x00\x00"):
        bomb = content[:6] + version + content[10:] + bytes(2**16)
        yield Case(f"{key} in {version}", _zip(_members(valid) | {f"{key}.npy": bomb}), None)
    for text in (b"(" * 9000, b"[" * 9000, b"{'descr': " * 900, b"\\N{" * 2000):
        bomb = content[:8] + len(text).to_bytes(2, "little") + text + content[128:]
        yield Case(f"{key}: {text[:9]}", _zip(_members(valid) | {f"{key}.npy": bomb}), None)


def _bombs(valid: dict[str, np.ndarray], key: str) -> Iterator[Case]:
    """Members that decompress to many MiB, and directories that state other sizes."""
    content = _npy(valid[key])
    for packed in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        for start in (content, content[:128], b""):
            bomb = _members(valid) | {f"{key}.npy": start + bytes(BOMB)}
            whole = _zip(bomb, packed)
            yield Case(f"{key}: a bomb", whole, None)
            for size in (len(content), 2**32 - 2):  # as stated in the directory
                lie = whole.replace(_le(len(start) + BOMB), _le(size))
                yield Case(f"{key}: a bomb said to be of {size}", lie, None)


def _le(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def _members(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {f"{key}.npy": _npy(array) for key, array in arrays.items()}


def _zip(
    members: dict[str, bytes],
    packed: int = zipfile.ZIP_STORED,
    twice: tuple[str, bytes] | None = None,
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, content in [*members.items(), *([twice] if twice else [])]:
            archive.writestr(zipfile.ZipInfo(name), content, packed)
    return file.getvalue()
