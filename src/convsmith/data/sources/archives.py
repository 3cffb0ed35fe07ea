"""Archives of images, unpacked once into the cache. Members that lead outside, and bombs, are refused."""

import hashlib
import os
import shutil
import stat
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from convsmith.base.errors import BadFile
from convsmith.base.files import cache_folder
from convsmith.data.sources.manifest import changed, write_manifest
from convsmith.data.sources.tree import JUNK_FILES, JUNK_FOLDERS
from convsmith.report.text import many
from convsmith.report.text import size as size_text

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")
# Archives that the standard library does not unpack, and the command that does.
_OTHERS = {
    ".7z": "7z x {}",
    ".rar": "unrar x {}",
    ".tar.zst": "tar --zstd -xf {}",
    ".tzst": "tar --zstd -xf {}",
    ".tar.lz4": "lz4 -dc {} | tar -x",
    ".zst": "unzstd {}",
}
MOST_FILES = 5_000_000
# Images hardly compress. An archive that grows by a larger ratio, and beyond a harmless size, is made to fill disks.
MOST_RATIO, HARMLESS_BYTES = 200, 256_000_000
RESERVE_BYTES = 2_000_000_000  # so many bytes of the disk stay free
_PART = 1024 * 1024
_LONGEST = 1000


@dataclass(frozen=True)
class _Member:
    """A regular file in an archive: its path there, its stated size, and the entry that opens it."""

    name: str
    size: int
    open: "zipfile.ZipInfo | tarfile.TarInfo"


class _Careful(tarfile.TarInfo):
    """A tar's header. A long name or extended header of more than 1 MiB, which `tarfile` would read, is an error."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        headers = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in (*headers, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > _PART:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


def is_archive(path: Path) -> bool:
    """Whether `path` is a file with the suffix of an archive, also of one that `unpacked` refuses."""
    name = path.name.lower()
    return name.endswith((".zip", *_TAR, *_OTHERS)) and path.is_file()


def unpacked(path: Path) -> tuple[Path, str]:
    """The folder of the cache with the archive's files, and a line that says where it is and what it holds.

    Raises BadFile for an archive that is damaged, encrypted, or made to do harm. Nothing of it stays on the disk.
    """
    for ending, command in _OTHERS.items():
        if path.name.lower().endswith(ending):
            name = command.format(path.name)
            raise BadFile(
                path, f"archives of the kind {ending} are not unpacked here; unpack it ({name}), name the folder"
            )
    goal = unpacked_folder() / f"{_short(path)}-{_key(path)}"
    lost = changed(goal)
    # The line is written into the run and its bundle, so it does not state the path of this user's cache.
    line = f"{path.name} is unpacked into the cache (`convsmith data cache` lists it): {goal.parent.name}/{goal.name}"
    if lost is None:
        return goal, line
    again = f"; again, as it had changed ({lost})" if lost else ""
    return goal, f"{line}{again}: {_unpack(path, goal)}"


def unpacked_folder() -> Path:
    """The folder in which archives are unpacked."""
    return cache_folder() / "unpacked"


def list_unpacked() -> list[tuple[str, int]]:
    """The name and the size in bytes of the folder of each unpacked archive."""
    folders = [folder for folder in unpacked_folder().glob("*") if folder.is_dir()]
    return [(f.name, sum(file.stat().st_size for file in f.rglob("*") if file.is_file())) for f in sorted(folders)]


def clear_unpacked() -> int:
    """Remove all unpacked archives; gives the number of bytes that this frees. They are unpacked again when needed."""
    freed = sum(size for _, size in list_unpacked())
    shutil.rmtree(unpacked_folder(), ignore_errors=True)
    return freed


def _key(path: Path) -> str:
    """A key of the archive: the hash of its path, size, mtime, and of both its ends, where the checksums stand."""
    status = path.stat()
    digest = hashlib.sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode(errors="surrogateescape"))
    with open(path, "rb") as file:
        digest.update(file.read(64 * 1024))
        file.seek(max(0, status.st_size - 64 * 1024))
        digest.update(file.read())
    return digest.hexdigest()[:16]


def _short(path: Path) -> str:
    name = path.name.partition(".")[0]
    return "".join(c if c.isalnum() else "-" for c in name)[:40] or "archive"


def _unpack(path: Path, goal: Path) -> str:
    """Unpack beside the goal, then rename; gives the number and the size of the files as text."""
    temporary = goal.with_name(f".{goal.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        files, total = _write_members(path, temporary)
        if not files:
            raise BadFile(path, "holds no files")
        write_manifest(temporary)
        _put(temporary, goal)
    except OSError as error:
        raise BadFile(path, f"cannot be unpacked into {goal.parent} ({error.strerror or error})") from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(
            path, f"the archive is damaged or of an unknown kind ({error}); unpack it, name the folder"
        ) from None
    except RuntimeError as error:  # zipfile raises it for an encrypted member
        raise BadFile(path, f"cannot be unpacked ({error}); unpack it, name the folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return f"{many(files, 'file')}, {size_text(total)}"


def _put(folder: Path, goal: Path) -> None:
    """Rename the folder to the goal, unless another process was first; what has lost files there is removed."""
    if changed(goal) is None:
        return
    old = folder.with_name(f"{folder.name}.old")
    with suppress(FileNotFoundError):
        os.rename(goal, old)
    try:
        os.rename(folder, goal)
    except OSError:
        if changed(goal) is not None:
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write_members(path: Path, folder: Path) -> tuple[int, int]:
    packed = path.stat().st_size
    free = shutil.disk_usage(folder).free - RESERVE_BYTES
    most = max(HARMLESS_BYTES, MOST_RATIO * packed)
    _check_room(path, packed, free)
    files = written = total = 0
    with _opened(path) as archive:
        if isinstance(archive, zipfile.ZipFile):
            _check_sizes(path, sum(info.file_size for info in archive.infolist()), most, free)
        for member in _members(path, archive):
            files += 1
            if files > MOST_FILES:
                raise BadFile(path, f"holds more than {MOST_FILES:,} files; unpack it, name the folder")
            total += member.size
            _check_sizes(path, total, most, free)
            parts = _inside(path, member.name)
            if not _is_junk(parts):
                _write(path, archive, member, folder.joinpath(*parts))
                written += 1
    return written, total


def _opened(path: Path) -> zipfile.ZipFile | tarfile.TarFile:
    # "r|": as a stream, member after member, since an index of a tar would need a second pass.
    return zipfile.ZipFile(path) if path.name.lower().endswith(".zip") else tarfile.open(path, "r|*", tarinfo=_Careful)


def _members(path: Path, archive: zipfile.ZipFile | tarfile.TarFile) -> Iterator[_Member]:
    """The regular files of an archive. Folders are left out; a link or a device raises BadFile."""
    if isinstance(archive, zipfile.ZipFile):
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise BadFile(path, f"{info.filename!a:.200} is a link or a device, which is not unpacked")
            yield _Member(_zip_name(info), info.file_size, info)
        return
    for found in archive:
        if found.isdir():
            continue
        if not found.isreg():
            raise BadFile(path, f"{found.name!a:.200} is a link or a device, which is not unpacked")
        yield _Member(found.name, found.size, found)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a member. UTF-8 without its flag, as macOS writes it, is decoded as UTF-8."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _inside(path: Path, name: str) -> tuple[str, ...]:
    """The parts of a member's path. Raises BadFile if it leads outside the archive, is empty or is too long."""
    plain = name.replace("\\", "/")
    parts = tuple(part for part in PurePosixPath(plain).parts if part != ".")
    if plain.startswith("/") or ".." in parts or not parts or "\0" in name or parts[0].endswith(":"):
        raise BadFile(path, f"{name!a:.200} leads outside the archive; it is not unpacked")
    if len(plain) > _LONGEST or any(len(os.fsencode(part)) > 255 for part in parts):
        raise BadFile(path, f"{name!a:.80}... is longer than a path can be")
    return parts


def _is_junk(parts: tuple[str, ...]) -> bool:
    lower = [part.lower() for part in parts]
    return lower[-1] in JUNK_FILES or any(part in JUNK_FOLDERS or part.startswith(".") for part in lower)


def _check_sizes(path: Path, total: int, most: int, free: int) -> None:
    if total > most:
        raise BadFile(
            path,
            f"would grow to more than {size_text(most)}, {MOST_RATIO} times its size: a bomb, by the look of it; if it "
            "is none, unpack it and name the folder",
        )
    _check_room(path, total, free)


def _check_room(path: Path, total: int, free: int) -> None:
    if total > free:
        raise BadFile(
            path,
            f"needs {size_text(total)} or more in {unpacked_folder()}, where {size_text(max(0, free))} may be taken; "
            "name a larger disk with CONVSMITH_CACHE, or unpack it and name the folder",
        )


def _write(path: Path, archive: zipfile.ZipFile | tarfile.TarFile, member: _Member, goal: Path) -> None:
    """Write one member. Raises BadFile if it is there already, or is not of its stated size."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    content: IO[bytes] | None
    content = archive.open(member.open) if isinstance(archive, zipfile.ZipFile) else archive.extractfile(member.open)  # type: ignore[arg-type]
    if content is None:
        return
    written = 0
    if goal.exists():
        raise BadFile(path, f"{member.name!a:.200} is in it twice")
    with content, open(goal, "xb") as file:
        while part := content.read(_PART):
            written += len(part)
            if written > member.size:
                raise BadFile(path, f"{member.name!a:.200} is larger than it states")
            file.write(part)
    if written != member.size:
        raise BadFile(path, f"{member.name!a:.200} is cut: {written:,} of {member.size:,} bytes")
