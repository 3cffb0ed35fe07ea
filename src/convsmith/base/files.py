"""Files that are whole or absent: written under a temporary name, synced to the disk, then renamed."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn an OSError while `path` is written into a BadFile that names the path."""
    try:
        yield
    except OSError as error:
        raise BadFile(path, f"could not be written ({error.strerror or error}); mend: {_mend(path, error)}") from error


def missing_folder(path: Path) -> Path | None:
    """The outermost folder of `path` that does not exist; None if all folders exist."""
    return next((folder for folder in reversed(path.absolute().parents) if not folder.exists()), None)


def _mend(path: Path, error: OSError) -> str:
    """How to mend an error while `path` was written, for the end of a message."""
    if error.errno == errno.ENOENT and (gone := missing_folder(path)) is not None:
        return f"there is no folder {gone} (any more): make it, or put back what was deleted or moved"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free space on the disk, or raise its quota, or choose another place"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the folder writable, or choose another place"
    return "free space on the disk, or its permissions, or choose another place"


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together, all of them or none. Missing folders are made. Raises BadFile."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    made: list[Path] = []
    try:
        for path, data in files.items():
            with writing(path):
                made += _make_folder(path.parent)
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
                _write_synced(temporary[path], data)
        for path, kept in temporary.items():
            with writing(path):
                os.replace(kept, path)
        made.clear()
    finally:
        for kept in temporary.values():
            with suppress(OSError):
                kept.unlink()
        for folder in reversed(made):
            with suppress(OSError):  # another process may have put a file there since
                folder.rmdir()
    for folder in {path.parent for path in files}:
        sync_folder(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents. Raises BadFile."""
    with writing(folder):
        _make_folder(folder)


def _make_folder(folder: Path) -> list[Path]:
    """Make the missing folders and return them, the outermost first."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds its old content or all of the new content, even after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_synced(temporary, data)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # fails too on a read-only disk, and would hide the first error
            temporary.unlink()
    sync_folder(path.parent)


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, as `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write indented JSON, as `write_bytes`. Raises ValueError for NaN, which is not JSON."""
    write_bytes(path, json_bytes(data))


def json_bytes(data: Any) -> bytes:
    """The bytes that `write_json` writes."""
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def open_regular(path: str | Path, flags: int) -> int:
    """A descriptor of a regular file. Raises OSError for anything else, since opening a named pipe may never end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def read_regular(path: Path) -> bytes:
    """The content of a regular file. Raises OSError for anything else."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises BadFile if the file is cut or is not JSON."""
    try:
        with open(path, encoding="utf-8", opener=open_regular) as file:
            return json.loads(file.read())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror}); expected a JSON file") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError too
        raise BadFile(path, f"expected JSON, could not read it ({error})") from None


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb", opener=open_regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def offline() -> bool:
    """Whether `CONVSMITH_OFFLINE` forbids downloads: it is set, and is neither 0 nor empty."""
    return os.environ.get("CONVSMITH_OFFLINE", "") not in ("", "0")


def cache_folder() -> Path:
    """The folder for downloads and caches: `CONVSMITH_CACHE`, else the XDG cache folder."""
    given = os.environ.get("CONVSMITH_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convsmith"
