"""Decoded images kept on the disk: one file for each stored split and way of decoding, a slot for each image.

A slot is filled by whoever decodes its image first and says itself whether it holds: by a checksum over the pixels and
what the image's file was. So nothing has to be locked, committed or finished. Several processes fill one file side by
side (they write the same bytes), and after a crash, a full disk or damage a slot that does not hold is decoded again.
No torch here.
"""

import hashlib
import json
import os
import shutil
import struct
import weakref
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features

from convsmith.base.files import cache_folder
from convsmith.data.examples import EncodedExamples, Examples, FileExamples, StoredSplit
from convsmith.data.fit import frame
from convsmith.data.preprocess import BORDER, Preprocess, final_size
from convsmith.report.text import size as size_text

Use = Literal["auto", "on", "off"]
# The kinds of examples whose decoded images are worth keeping: those of arrays are decoded.
KEPT = (FileExamples, EncodedExamples)

# Sets with less than this in encoded bytes are decoded in a moment: 'auto' does not keep them.
WORTH_BYTES = 16_000_000
# What is always left free on the disk.
RESERVE_BYTES = 2_000_000_000

_MAGIC = b"convsmith decoded images 1\n"
_HEADER = 4096
# Of each slot: a mark, the CRC-32 of the rest and the pixels, and size and time of change of the image's file.
_ENTRY = struct.Struct("<4sIqq")
_MARK = b"full"
# How many images are written between two looks at the free disk.
_LOOK_EVERY = 64


@dataclass(frozen=True)
class Entry:
    """What a file of the cache holds, as its header says it: `bytes` are those that it takes on the disk."""

    path: Path
    source: str
    split: str
    images: int
    size: tuple[int, int]
    bytes: int
    used: float

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON data; `used` in seconds since 1970."""
        return {**asdict(self), "path": str(self.path), "size": list(self.size)}


class DecodedCache:
    """The slots of one file; `margin` says whether they hold the square that training crops from.

    Give it to other processes freely: pickled it takes its path along, and forked its descriptor.
    """

    def __init__(self, path: Path, count: int, shape: tuple[int, int, int], margin: bool):
        self.path, self.count, self.shape, self.margin = path, count, shape, margin
        self._stride = stride(shape)
        self._checked = np.zeros(count, bool)
        self._written, self._full = 0, False
        try:
            self._file = os.open(path, os.O_RDWR)
        except OSError:  # of another user, or on a disk that is only read
            self._file, self._full = os.open(path, os.O_RDONLY), True
        self.writable = not self._full
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> Any:
        return DecodedCache, (self.path, self.count, self.shape, self.margin)

    def read(self, number: int, stamp: tuple[int, int], out: np.ndarray) -> bool:
        """Fill `out`, uint8 (C, H, W) in one piece, with image `number`; False where the slot does not hold it.

        `stamp` is size and time of change of the image's file now: a slot made of another does not hold.
        """
        head = bytearray(_ENTRY.size)
        try:
            got = os.preadv(self._file, [head, out.data], self._place(number))
        except OSError:
            return False
        mark, checksum, *made_of = _ENTRY.unpack(head)
        if mark != _MARK or tuple(made_of) != stamp or got != self._stride:
            return False
        # Once is enough for a process: what it checked lies in the system's memory, or on a disk with its own checks.
        if not self._checked[number]:
            self._checked[number] = checksum == _checksum(stamp, out)
        return bool(self._checked[number])

    def write(self, number: int, stamp: tuple[int, int], pixels: np.ndarray) -> None:
        """Keep image `number`, uint8 (C, H, W) in one piece; where the disk has no room left nothing is kept."""
        if self._full:
            return
        head = _ENTRY.pack(_MARK, _checksum(stamp, pixels), *stamp)
        try:
            if self._written % _LOOK_EVERY == 0:
                disk = os.fstatvfs(self._file)
                self._full = disk.f_bavail * disk.f_frsize < RESERVE_BYTES
            if not self._full:
                os.pwritev(self._file, [head, pixels.data], self._place(number))
        except OSError:
            self._full = True
        self._written += 1

    def missing(self, numbers: Sequence[int] | np.ndarray) -> int:
        """How many of the images `numbers` have an empty slot; whether the others hold is seen when they are read."""
        return sum(os.pread(self._file, 4, self._place(int(number))) != _MARK for number in numbers)

    def _place(self, number: int) -> int:
        return _HEADER + number * self._stride


_open: "weakref.WeakValueDictionary[Path, DecodedCache]" = weakref.WeakValueDictionary()


def open_cache(examples: Examples, record: Preprocess, margin: bool, use: Use) -> tuple[DecodedCache | None, str]:
    """Where the examples' decoded images are kept, if they are; else what the user should know of why, or nothing."""
    if use == "off" or not isinstance(examples, KEPT) or examples.stored is None:
        return None, ""
    if use == "auto" and not _is_worth(examples):
        return None, ""
    margin = record.resize is not None and (margin or crops_from_margin(record))
    shape = (record.channels, *final_size(record, margin))
    about = _about(examples.stored, record, shape, margin, examples.most)
    path = decoded_folder() / f"{_key(about)}.pixels"
    if path in _open and path.exists():
        return _open[path], ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        problem = _make_room(path, len(examples) * stride(shape))
        if problem:
            return None, problem
        if not _is_whole(path, about):
            _create(path, about)
        os.utime(path)
        cache = DecodedCache(path, examples.stored.count, shape, margin)
    except OSError as error:
        cache = None
        with suppress(OSError):  # what was kept there can be read all the same
            cache = DecodedCache(path, examples.stored.count, shape, margin) if _is_whole(path, about) else None
        if cache is None:
            return None, (
                f"decoded images are not kept: {path.parent} cannot be written ({error.strerror}); "
                "name another folder with CONVSMITH_CACHE"
            )
    _open[path] = cache
    return cache, ""


def cache_note(examples: Examples, record: Preprocess, use: Use) -> str:
    """What to say before training: that decoded images will be kept, or why not; nothing where all are there."""
    cache, problem = open_cache(examples, record, True, use)
    if cache is None or not isinstance(examples, KEPT):
        return problem
    missing = cache.missing([examples.number(i) for i in range(len(examples))])
    if not missing:
        return ""
    if not cache.writable:
        return f"{missing:,} images are decoded in every epoch: {cache.path} cannot be written"
    return (
        f"{missing:,} decoded images will be kept in {cache.path.parent}, {size_text(missing * stride(cache.shape))}, "
        "for later epochs and runs (--data.cache off: none)"
    )


def crops_from_margin(record: Preprocess) -> bool:
    """Whether the final image is, pixel for pixel, the middle of the frame that training crops from.

    Corners are rounded halves, to the even: only an even part of a corner can be taken off before the rounding.
    """
    outer = frame(record)
    return outer is not None and all((have - want) % 4 == 0 for have, want in zip(outer, record.size, strict=True))


def decoded_folder() -> Path:
    """Where the files lie."""
    return cache_folder() / "decoded"


def list_stored() -> list[Entry]:
    """Every file of the cache, the last used first; what is damaged counts too, without a source."""
    found: list[Entry] = []
    for path in decoded_folder().glob("*.pixels"):
        with suppress(OSError):
            status = path.stat()
            about = _read_header(path)
            shape = about.get("shape", (0, 0, 0))
            told = about.get("source", "damaged"), about.get("split", ""), about.get("count", 0)
            found.append(Entry(path, *told, (shape[1], shape[2]), status.st_blocks * 512, status.st_mtime))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clear_stored() -> int:
    """Remove every file; runs that use one keep what they have open. Gives the bytes that were freed."""
    freed = sum(entry.bytes for entry in list_stored())
    for path in decoded_folder().glob("*"):
        path.unlink(missing_ok=True)
    return freed


def _is_worth(examples: FileExamples | EncodedExamples) -> bool:
    """Whether decoding takes so long that it is kept; looks at no more files than it must."""
    total = 0
    for i in range(len(examples)):
        total += examples.stamp(i)[0]
        if total >= WORTH_BYTES:
            return True
    return False


def stride(shape: tuple[int, int, int]) -> int:
    """The bytes of a slot."""
    return _ENTRY.size + shape[0] * shape[1] * shape[2]


def _checksum(stamp: tuple[int, int], pixels: np.ndarray) -> int:
    return zlib.crc32(pixels.data, zlib.crc32(struct.pack("<qq", *stamp)))


def _about(
    stored: StoredSplit, record: Preprocess, shape: tuple[int, int, int], margin: bool, most: int | None
) -> dict[str, Any]:
    """What a file holds: other decoders, or other fields of the record, make other pixels and so another file."""
    # What most runs leave as it is does not stand in the header, so that older files keep their names.
    fit: dict[str, Any] = {} if record.fit == "crop" else {"fit": record.fit, "border": BORDER}
    limit: dict[str, Any] = {} if most is None else {"most": most}
    codecs = [f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo", "zlib", "libtiff", "webp")]
    return {
        "source": stored.source,
        "split": stored.split,
        "count": stored.count,
        "fingerprint": stored.fingerprint,
        "shape": list(shape),
        "margin": margin,
        "exif": record.exif,
        "mode": record.mode,
        "resize": list(record.resize) if isinstance(record.resize, tuple) else record.resize,
        "interpolation": record.interpolation,
        "decoding": record.decoding,
        "decoder": [f"pillow {pillow_version}", *codecs],
        **fit,
        **limit,
    }


def _key(about: dict[str, Any]) -> str:
    pixels = {name: value for name, value in about.items() if name != "source"}
    return hashlib.sha256(json.dumps(pixels, sort_keys=True).encode()).hexdigest()[:24]


def _length(about: dict[str, Any]) -> int:
    channels, height, width = about["shape"]
    return _HEADER + about["count"] * stride((channels, height, width))


def _is_whole(path: Path, about: dict[str, Any]) -> bool:
    """Whether the file is there with its header and its length; one that is not is removed."""
    if not path.exists():
        return False
    found = _read_header(path)
    if found and _key(found) == _key(about) and path.stat().st_size == _length(about):
        return True
    path.unlink(missing_ok=True)
    return False


def _create(path: Path, about: dict[str, Any]) -> None:
    """A file with its header and empty slots, which take no room yet; another process may be first."""
    # The name of a source may be long: what is cut off is told by nobody.
    header = _MAGIC + json.dumps(about | {"source": about["source"][:200]}).encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, header.ljust(_HEADER))
        os.ftruncate(descriptor, _length(about))
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _read_header(path: Path) -> dict[str, Any]:
    """What a file says that it holds; nothing where it is damaged."""
    with open(path, "rb") as file:
        header = file.read(_HEADER)
    try:
        about = json.loads(header.removeprefix(_MAGIC)) if header.startswith(_MAGIC) else {}
        return about if isinstance(about, dict) and _length(about) > 0 else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _make_room(path: Path, needed: int) -> str:
    """Remove files that were not used for longest until `needed` bytes fit; else say why they do not.

    The cache may take half of what would be free without it, and leaves the reserve. What this process has open stays.
    """
    entries = [entry for entry in list_stored() if entry.path != path]
    others = [entry for entry in entries if entry.path not in _open]
    taken = sum(entry.bytes for entry in others)
    in_use = sum(entry.bytes for entry in entries) - taken
    own = path.stat().st_blocks * 512 if path.exists() else 0
    free = shutil.disk_usage(path.parent).free
    whole = free + taken + in_use + own
    allowed = min(whole // 2, whole - RESERVE_BYTES) - in_use
    needed = max(needed, own)
    if needed > allowed:
        return (
            f"decoded images are not kept: they need {size_text(needed)} and the cache in {path.parent} may take "
            f"{size_text(max(allowed, 0))}, half of what is free{' less what is in use' if in_use else ''}; name a "
            "larger disk with CONVSMITH_CACHE"
        )
    while others and taken + needed > allowed:
        oldest = others.pop()
        oldest.path.unlink(missing_ok=True)
        taken -= oldest.bytes
    return ""
