"""What the system says while a file is written, as an error that names the file. No torch here."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convsmith.base.errors import BadFile


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into BadFile for `path`."""
    try:
        yield
    except OSError as error:
        raise BadFile(path, f"could not be written ({error.strerror or error}); mend: {mend(path, error)}") from error


def missing_folder(path: Path) -> Path | None:
    """The outermost of the folders around `path` that is not there."""
    return next((folder for folder in reversed(path.absolute().parents) if not folder.exists()), None)


def mend(path: Path, error: OSError) -> str:
    """What the user can do about an error while the file at `path` was written."""
    if (gone := missing_folder(path)) is not None:
        return f"there is no folder {gone} (any more): make it, or put back what was deleted or moved"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free space on the disk, or raise its quota"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the folder writable"
    return "free space on the disk, or its permissions"
