"""What a network's input is: a picture, a recording, a text. Records with one tag each. No torch here."""

from typing import Any, Protocol

import numpy as np

from convsmith.base.config import kind_of
from convsmith.base.errors import UsageError, unknown
from convsmith.data.preprocess import Preprocess
from convsmith.data.sound import SoundInput
from convsmith.data.texts import TextInput

ImageInput = Preprocess
Input = ImageInput | SoundInput | TextInput
# The tag of each record; one without a tag is a picture's, as versions before wrote it.
_TAGS: dict[str, type[Input]] = {"image_input": ImageInput, **{kind_of(k): k for k in (SoundInput, TextInput)}}


class InputRecord(Protocol):
    """What every record of an input can do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input, as the network gets it."""
        ...

    def read(self, raw: Any, name: str | None = None) -> np.ndarray:
        """The array of a raw input, as batches hold it; `name` is what errors call it."""
        ...

    def normalize(self, batch: Any) -> Any:
        """A batch of arrays, as a tensor, with the values that the network gets."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        ...


def input_from_json(data: Any) -> Input:
    """The record that `to_json` wrote, told by its tag."""
    if not isinstance(data, dict):
        raise UsageError(f"input: expected a record, received {data!r:.80}")
    tag = data.get("kind", "image_input")
    if not isinstance(tag, str) or tag not in _TAGS:
        raise unknown("kind of input", str(tag), _TAGS)
    record = _TAGS[tag]
    return record.from_json({k: v for k, v in data.items() if k != "kind"} if record is ImageInput else data)
