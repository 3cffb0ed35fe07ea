"""Results of measurements on this machine, kept in the cache folder: small JSON values by a key."""

import hashlib
import json
from contextlib import suppress
from typing import Any, cast

from convsmith.base.errors import BadFile
from convsmith.base.files import cache_folder, read_json, write_json


def key_of(parts: Any) -> str:
    """The key of a value: a hash of `parts`, the JSON data that the value depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def recall(file: str, key: str) -> Any:
    """The value under `key` in a file of the cache folder; None if there is no value, or the file cannot be read."""
    return _all(file).get(key)


def remember(file: str, key: str, value: Any) -> None:
    """Keep a JSON value under `key`. A cache that cannot be written is no error: the value is measured again."""
    path = cache_folder() / file
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**_all(file), key: value})


def _all(file: str) -> dict[str, Any]:
    try:
        values = read_json(cache_folder() / file)
    except (OSError, BadFile):
        return {}  # the values can be measured again
    return cast("dict[str, Any]", values) if isinstance(values, dict) else {}
