"""Files of numbered slots that are filled in any order by any number of processes: decoded images, and features.

The first process that needs a slot fills it. A slot is valid if its checksum fits its content and the image's file has
not changed. So nothing has to be locked, committed or finished: several processes may fill one file at the same time,
since they write the same bytes, and after a crash, a full disk or damage an invalid slot is filled again.
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
from typing import Any

import numpy as np

from convsmith.base.files import cache_folder, open_regular
from convsmith.report.text import size as size_text

# The bytes of the disk that always stay free.
RESERVE_BYTES = 2_000_000_000

_MAGIC = b"convsmith decoded images 1\n"
_HEADER = 4096
# The suffix of the files of each kind.
PIXELS, FEATURES = ".pixels", ".features"
FEATURE_BYTES = 4  # float32
# A slot begins with a mark, the CRC-32 of the rest and the content, and the size and mtime of the image's file.
_ENTRY = struct.Struct("<4sIqq")
_MARK, _EMPTY = b"full", b"\0\0\0\0"
# The number of writes between two checks of the free space: each check is a system call.
_LOOK_EVERY = 64


@dataclass(frozen=True)
class Entry:
    """The facts in the header of a cache file. `bytes` is the space that the file takes on the disk.

    `content` is `pixels` or `features`. The size of features is (1, features of an image).
    """

    path: Path
    content: str
    source: str
    split: str
    images: int
    size: tuple[int, int]
    bytes: int
    used: float

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON data; `used` in seconds since 1970."""
        return {**asdict(self), "path": str(self.path), "size": list(self.size)}


class Slots:
    """The slots of a file. `about` describes their content, their number (`count`) and their shape, uint8 (`shape`).

    It may be passed to other processes: unpickling opens the path again, forking shares the descriptor.
    """

    def __init__(self, path: Path, about: dict[str, Any], removed: bool = False):
        self.path, self.about = path, about
        # Whether a damaged file lay at the path, and the number of damaged slots since the last call of `damage`.
        self._removed, self._damaged = removed, 0
        self.count: int = about["count"]
        self.shape: tuple[int, int, int] = tuple(about["shape"])
        self._stride = stride(self.shape)
        self._checked = np.zeros(self.count, bool)
        self._written, self._full = 0, False
        try:
            self._file = open_regular(path, os.O_RDWR)
        except OSError:  # the file is another user's, or the disk is read-only
            self._file, self._full = open_regular(path, os.O_RDONLY), True
        self.writable = not self._full
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> Any:
        return Slots, (self.path, self.about)

    def read(self, number: int, stamp: tuple[int, int], out: np.ndarray) -> bool:
        """Fill `out`, a contiguous uint8 array of `shape`, with slot `number`; False if the slot is empty or invalid.

        `stamp` is the present size and mtime of the image's file. A slot with another stamp is invalid.
        """
        # One call reads header and content at an offset. So threads and forked processes share the descriptor without a
        # lock, which the position of a plain read would need.
        head = bytearray(_ENTRY.size)
        try:
            got = os.preadv(self._file, [head, out.data], self._place(number))
        except OSError:
            return False
        mark, checksum, size, changed = _ENTRY.unpack(head)
        if got != self._stride or mark != _MARK:
            self._damaged += got != self._stride or mark != _EMPTY
            return False
        # A process verifies a slot once: later reads come from the page cache, or from a disk with its own checks.
        if not self._checked[number]:
            self._checked[number] = checksum == _checksum((size, changed), out)
            self._damaged += not self._checked[number]
        return bool(self._checked[number]) and (size, changed) == stamp

    def write(self, number: int, stamp: tuple[int, int], content: np.ndarray) -> None:
        """Write the content of image `number`, a contiguous uint8 array. A full disk is no error."""
        if self._full:
            return
        head = _ENTRY.pack(_MARK, _checksum(stamp, content), *stamp)
        try:
            if self._written % _LOOK_EVERY == 0:
                disk = os.fstatvfs(self._file)
                self._full = disk.f_bavail * disk.f_frsize < RESERVE_BYTES
            if not self._full:
                # A crash may leave a part of the slot. Then the checksum does not fit, and the slot is filled again.
                os.pwritev(self._file, [head, content.data], self._place(number))
        except OSError:
            self._full = True
        self._written += 1

    def damage(self) -> str:
        """A line for the user on damage found in the file since the last call; empty if there was none."""
        number, removed, self._damaged, self._removed = self._damaged, self._removed, 0, False
        if removed:
            return f"{self.path} was damaged and is made again"
        return (
            f"{self.path}: {number:,} of its {self.count:,} slots were damaged and are filled again" if number else ""
        )

    def missing(self, numbers: Sequence[int] | np.ndarray) -> int:
        """The number of the images `numbers` whose slot is empty. Invalid slots do not count: reading finds them."""
        return sum(os.pread(self._file, 4, self._place(int(number))) != _MARK for number in numbers)

    def _place(self, number: int) -> int:
        return _HEADER + number * self._stride


# A process opens each file once: its loaders share the checked slots, and `_make_room` knows which files are in use.
_open: "weakref.WeakValueDictionary[Path, Slots]" = weakref.WeakValueDictionary()


def open_slots(about: dict[str, Any], suffix: str, expected: int) -> tuple[Slots | None, str]:
    """The slots that `about` describes, in a file that is made if it is missing; or None and the reason for the user.

    `about` has `source`, `count` and `shape`, and all values that the content depends on. `expected` is the number of
    slots that will be filled.
    """
    path = decoded_folder() / f"{_key(about)}{suffix}"
    if path in _open and path.exists():
        return _open[path], ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        problem = _make_room(path, expected * stride(tuple(about["shape"])))
        if problem:
            return None, problem
        removed = os.path.lexists(path) and not _is_whole(path, about)
        if not path.exists():
            _create(path, about)
        os.utime(path)  # the time of the last use, by which `_make_room` chooses the file to remove
        slots = Slots(path, about, removed)
    except OSError as error:
        slots = None
        with suppress(OSError):  # slots that are filled already can still be read
            slots = Slots(path, about) if _is_whole(path, about) else None
        if slots is None:
            return None, (
                f"not kept: {path.parent} cannot be written ({error.strerror}); "
                "name another folder with CONVSMITH_CACHE"
            )
    _open[path] = slots
    return slots, ""


def decoded_folder() -> Path:
    """The folder of the cache files."""
    return cache_folder() / "decoded"


def list_stored() -> list[Entry]:
    """Every file of the cache, the last used first. A damaged file has the source `damaged`.

    Anything but a regular file, such as a folder or a named pipe, is left out.
    """
    entries: list[Entry] = []
    for path in (p for suffix in (PIXELS, FEATURES) for p in decoded_folder().glob(f"*{suffix}")):
        with suppress(OSError):
            status = path.stat()
            about = _read_header(path)
            shape = about.get("shape", (0, 0, 0))
            origin = about.get("source", "damaged"), about.get("split", ""), about.get("count", 0)
            of_features = path.suffix == FEATURES
            each = (1, shape[2] // FEATURE_BYTES) if of_features else (shape[1], shape[2])
            entries.append(Entry(path, path.suffix[1:], *origin, each, status.st_blocks * 512, status.st_mtime))
    return sorted(entries, key=lambda entry: entry.used, reverse=True)


def clear_stored() -> int:
    """Remove every cache file and return the number of bytes freed. A run that has a file open keeps it."""
    freed = sum(entry.bytes for entry in list_stored())
    for path in decoded_folder().glob("*"):
        if not path.is_dir():
            path.unlink(missing_ok=True)
    return freed


def stride(shape: tuple[int, int, int]) -> int:
    """The size of a slot in bytes, header included."""
    return _ENTRY.size + shape[0] * shape[1] * shape[2]


def _checksum(stamp: tuple[int, int], content: np.ndarray) -> int:
    # The stamp is included, so that a header of one write with the content of another is invalid.
    return zlib.crc32(content.data, zlib.crc32(struct.pack("<qq", *stamp)))


def _key(about: dict[str, Any]) -> str:
    pixels = {name: value for name, value in about.items() if name != "source"}
    return hashlib.sha256(json.dumps(pixels, sort_keys=True).encode()).hexdigest()[:24]


def _length(about: dict[str, Any]) -> int:
    channels, height, width = about["shape"]
    return _HEADER + about["count"] * stride((channels, height, width))


def _is_whole(path: Path, about: dict[str, Any]) -> bool:
    """Whether the file exists with the right header and length. Anything else there, except a folder, is removed."""
    if not os.path.lexists(path):
        return False
    if path.is_file():
        header = _read_header(path)
        if header and _key(header) == _key(about) and path.stat().st_size == _length(about):
            return True
    path.unlink(missing_ok=True)
    return False


def _create(path: Path, about: dict[str, Any]) -> None:
    """Make a sparse file with its header and empty slots. If another process makes it first, its file stays."""
    # The name of a source may be longer than the header; `_key` leaves it out, so cutting it changes nothing.
    header = _MAGIC + json.dumps(about | {"source": about["source"][:200]}).encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, header.ljust(_HEADER))
        os.ftruncate(descriptor, _length(about))
        # A link, not a rename: a rename would replace a file that another process has made meanwhile and fills.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _read_header(path: Path) -> dict[str, Any]:
    """The `about` in a file's header; empty if the header is damaged."""
    with open(path, "rb", opener=open_regular) as file:
        header = file.read(_HEADER)
    try:
        about = json.loads(header.removeprefix(_MAGIC)) if header.startswith(_MAGIC) else {}
        return about if isinstance(about, dict) and _length(about) > 0 else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _make_room(path: Path, needed: int) -> str:
    """Remove the least recently used files until `needed` bytes fit; return the reason if they cannot fit, else "".

    The cache may take half of the space that would be free without it, and leaves RESERVE_BYTES free. Files that this
    process has open stay.
    """
    entries = [entry for entry in list_stored() if entry.path != path]
    others = [entry for entry in entries if entry.path not in _open]
    taken = sum(entry.bytes for entry in others)
    in_use = sum(entry.bytes for entry in entries) - taken
    # Blocks, not the length: the files are sparse, and empty slots take no space.
    own = path.stat().st_blocks * 512 if path.exists() else 0
    free = shutil.disk_usage(path.parent).free
    # The space that would be free without the cache: a limit from it does not shrink as the cache fills.
    whole = free + taken + in_use + own
    allowed = min(whole // 2, whole - RESERVE_BYTES) - in_use
    needed = max(needed, own)
    if needed > allowed:
        return (
            f"not kept: they need {size_text(needed)} and the cache in {path.parent} may take "
            f"{size_text(max(allowed, 0))}, half of what is free{' less what is in use' if in_use else ''}; name a "
            "larger disk with CONVSMITH_CACHE"
        )
    while others and taken + needed > allowed:
        oldest = others.pop()
        oldest.path.unlink(missing_ok=True)
        taken -= oldest.bytes
    return ""
