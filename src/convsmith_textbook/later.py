"""Functions that are imported when they are called, so that lists of entries need no torch."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def later(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of the textbook's `module` ("lectures.layers"), which is imported at the first call."""

    def call(*arguments: Any) -> Any:
        return getattr(import_module(f"convsmith_textbook.{module}"), name)(*arguments)

    return call
