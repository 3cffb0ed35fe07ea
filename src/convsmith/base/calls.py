"""The one text form of a named thing with arguments: `crop(4)`, `flip`, `drop_path=0.2`, `rule('norm', decay=0)`."""

import ast
from dataclasses import dataclass
from typing import Any

from convsmith.base.errors import UsageError


@dataclass(frozen=True)
class Call:
    """A name with its arguments, read from text; the arguments are plain literals."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


def parse_call(text: str) -> Call:
    """The call in `name`, `name(1, key=2)` or `name=1`. A word that is no literal becomes text. Raises UsageError."""
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"expected text such as drop_path=0.2, received {text!r:.60}")
    name, equals, value = text.partition("=")
    if equals and name.strip().isidentifier():
        return Call(name.strip(), tuple(_literal_text(part) for part in split_list(value)))
    node = _parse(text)
    if isinstance(node, ast.Name):
        return Call(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        args = tuple(_literal(arg, text) for arg in node.args)
        kwargs = {_keyword(k, text): _literal(k.value, text) for k in node.keywords}
        if len(kwargs) < len(node.keywords):
            raise UsageError(f"cannot read {text!r}; an argument is given twice")
        return Call(node.func.id, args, tuple(kwargs.items()))
    raise UsageError(f"cannot read {text!r}; write a name, with arguments in brackets where it takes some: crop(4)")


def split_list(text: str) -> list[str]:
    """The parts of a text between the commas outside brackets and quotes: `a(1,2)` and `b` for `a(1,2),b`."""
    parts, depth, quote, escaped, start = [""], 0, "", False, 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote and not escaped else quote
            escaped = char == "\\" and not escaped
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0:
            parts[-1] = text[start:i]
            parts.append("")
            start = i + 1
    parts[-1] = text[start:]
    return [part.strip() for part in parts if part.strip()]


def format_call(name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> str:
    """The text that `parse_call` reads back."""
    inside = [repr(a) for a in args] + [f"{k}={v!r}" for k, v in (kwargs or {}).items()]
    return f"{name}({', '.join(inside)})" if inside else name


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError(f"cannot read {text!r}; write it as name or name(argument, ...)") from None


def _keyword(keyword: ast.keyword, text: str) -> str:
    if keyword.arg is None:  # **more
        raise UsageError(f"cannot read an argument of {text!r}; write numbers or words")
    return keyword.arg


def _literal(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise UsageError(f"cannot read an argument of {text!r}; write numbers or words") from None


def _literal_text(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text
