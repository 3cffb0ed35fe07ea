"""The records of a network's inputs: a picture, a recording, a text, each with a tag."""

from typing import Any, Protocol

import numpy as np

from convsmith.base.config import kind_of
from convsmith.base.errors import UsageError, unknown
from convsmith.data.preprocess import ImageInput
from convsmith.data.sound import SoundInput
from convsmith.data.texts import TextInput

Input = ImageInput | SoundInput | TextInput
# The tag of each record. A record without a tag is a picture's: older versions wrote none.
_TAGS: dict[str, type[Input]] = {"image_input": ImageInput, **{kind_of(k): k for k in (SoundInput, TextInput)}}


class InputRecord(Protocol):
    """The methods of every record of an input."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        ...

    def read(self, raw: Any, name: str | None = None) -> np.ndarray:
        """The array of a raw input for a batch; errors call the input `name`."""
        ...

    def normalize(self, batch: Any) -> Any:
        """The normalized values of a batch of arrays, for the network."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        ...


def input_from_json(data: Any) -> Input:
    """The record that `to_json` wrote; its tag says which. Raises UsageError."""
    if not isinstance(data, dict):
        raise UsageError(f"input: expected a record, received {data!r:.80}")
    tag = data.get("kind", "image_input")
    if not isinstance(tag, str) or tag not in _TAGS:
        raise unknown("kind of input", str(tag), _TAGS)
    record = _TAGS[tag]
    return record.from_json({k: v for k, v in data.items() if k != "kind"} if record is ImageInput else data)
