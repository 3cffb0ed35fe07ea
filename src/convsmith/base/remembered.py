"""What was found once on this machine, kept in the cache folder: small JSON values by a key."""

import hashlib
import json
from contextlib import suppress
from typing import Any, cast

from convsmith.base.errors import BadFile
from convsmith.base.files import cache_folder, read_json, write_json


def key_of(parts: Any) -> str:
    """A key for what a finding depends on, which is JSON data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def recall(file: str, key: str) -> Any:
    """What was remembered under `key` in a file of the cache folder; None where nothing was, or it cannot be read."""
    return _all(file).get(key)


def remember(file: str, key: str, value: Any) -> None:
    """Keep a JSON value; a cache that cannot be written costs finding it again, not an error."""
    path = cache_folder() / file
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**_all(file), key: value})


def _all(file: str) -> dict[str, Any]:
    try:
        found = read_json(cache_folder() / file)
    except (OSError, BadFile):
        return {}  # it can be found again
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
