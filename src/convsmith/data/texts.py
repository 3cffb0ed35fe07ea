"""From a text to what a network gets: a typed record with its vocabulary."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from convsmith.base import config
from convsmith.base.errors import UsageError, WrongType
from convsmith.base.record import Tagged, option

# The first two words of every vocabulary: what fills a short text up, and what stands for a word that is not in it.
PADDING, UNKNOWN = "", "?unknown"
_MOST_WORDS = 1_000_000
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]|_")


@dataclass(frozen=True)
class TextInput(Tagged):
    """How a text becomes tokens: its words in small letters, by their places in the vocabulary; 0 fills it up.

    The vocabulary begins with the padding and with what stands for all words that are not in it. What is longer than
    `length` loses its end.
    """

    vocabulary: tuple[str, ...] = option((PADDING, UNKNOWN), "the words, each one's place is its token")
    length: int = option(32, "tokens of a text", least=1, most=65_536)

    def check(self) -> None:
        """Raise UsageError if the vocabulary lacks its first two words, or has a word twice."""
        if self.vocabulary[:2] != (PADDING, UNKNOWN):
            raise UsageError(
                f"text_input: expected a vocabulary that begins with {PADDING!r} and {UNKNOWN!r}, received "
                f"{list(self.vocabulary[:2])}"
            )
        if len(set(self.vocabulary)) < len(self.vocabulary):
            twice = next(word for word, count in Counter(self.vocabulary).items() if count > 1)
            raise UsageError(f"text_input: the vocabulary has {twice!r} twice")
        if len(self.vocabulary) > _MOST_WORDS:
            raise UsageError(f"text_input: expected at most {_MOST_WORDS:,} words, received {len(self.vocabulary):,}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tokens, (length,)."""
        return (self.length,)

    def read(self, raw: str, name: str | None = None) -> np.ndarray:
        """The tokens of a text, int64 (length,)."""
        tokens = [self._numbers.get(word, 1) for word in words(raw)[: self.length]]
        return np.asarray(tokens + [0] * (self.length - len(tokens)), dtype=np.int64)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: token for token, word in enumerate(self.vocabulary)}

    def text(self, tokens: np.ndarray) -> str:
        """The words of tokens, joined by spaces; padding is left out."""
        wrong = [int(token) for token in tokens if not 0 <= token < len(self.vocabulary)]
        if wrong:
            raise UsageError(f"tokens: expected numbers from 0 to {len(self.vocabulary) - 1}, received {wrong[0]}")
        return " ".join(self.vocabulary[int(token)] for token in tokens if token)

    def normalize(self, batch: Any) -> Any:
        """Tokens are what an embedding takes: the batch as it is."""
        return batch

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data, with its tag."""
        return config.plain(self)

    @staticmethod
    def from_json(data: Any) -> "TextInput":
        """The record that `to_json` wrote."""
        return config.read(TextInput, data, "text")


def text_input(texts: Iterable[str], length: int | None = None, most: int = 20_000, least: int = 1) -> TextInput:
    """The record for training texts: their `most` frequent words that occur `least` times; the longest text's length.

    Words that occur equally often are in the order of the alphabet.
    """
    if isinstance(texts, str):
        raise WrongType("texts: expected a list of texts, received one text")
    if most < 0:
        raise UsageError(f"texts: expected a vocabulary of 0 words or more, received {most}")
    counts, longest = Counter[str](), 1
    for text in texts:
        found = words(text)
        counts.update(found)
        longest = max(longest, len(found))
    ranked = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    return TextInput((PADDING, UNKNOWN, *ranked[:most]), longest if length is None else length)


def words(text: str) -> list[str]:
    """The words of a text in small letters, and its marks, each by itself."""
    if not isinstance(text, str):
        raise WrongType(f"a text: expected str, received {type(text).__name__} {text!r:.60}")
    return _WORD.findall(text.lower())
