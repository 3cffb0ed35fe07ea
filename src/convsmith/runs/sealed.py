"""JSON text that carries its own SHA-256: a change of any byte is noticed."""

import hashlib
import json
from typing import Any

SEAL = "sha256"


def seal(data: dict[str, Any]) -> str:
    """The text of `data` with its hash; TypeError or ValueError for what JSON cannot hold, NaN included."""
    if SEAL in data:
        raise ValueError(f"the key {SEAL!r} is kept for the hash")
    # Through text once, so that tuples and keys that are numbers are hashed as they will be read.
    plain = json.loads(_render(data))
    return _render(plain | {SEAL: _digest(plain)})


def unseal(text: str | bytes) -> dict[str, Any]:
    """The data of `seal`; ValueError says in what way the text is not as it was written."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or SEAL not in data:
            raise ValueError(f"expected a JSON object with the key {SEAL!r}")
        plain = {key: value for key, value in data.items() if key != SEAL}
        intact = data[SEAL] == _digest(plain) and _render(data).encode() == (
            text if isinstance(text, bytes) else text.encode()
        )
    except RecursionError:
        raise ValueError("expected flat JSON, received deeply nested text") from None
    if not intact:
        raise ValueError("its text differs from the SHA-256 in it")
    return plain


def _render(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(_render(data).encode()).hexdigest()
