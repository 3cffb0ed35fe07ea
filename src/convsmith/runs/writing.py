"""What the system says while a file is written, as an error that names the file. No torch here."""

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
        reason = error.strerror or error
        raise BadFile(
            path, f"could not be written ({reason}); mend: free space on the disk, or its permissions"
        ) from error
