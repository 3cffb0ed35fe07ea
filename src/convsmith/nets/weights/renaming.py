"""Rules for another project's weight names: from theirs to ours, and from ours to theirs."""

import re
from collections.abc import Callable
from functools import cache

from convsmith.nets.family import Renaming

# The tokens of a pattern that can be reversed: a choice (its first word is the project's own), a group, text. A point
# is a literal point: a reversed pattern makes names.
_TOKEN = re.compile(
    r"\(\?:(?P<choice>[^()]*)\)(?P<optional>\?)?|\((?P<group>[^()?][^()]*)\)|\\(?P<escaped>\W)|(?P<text>[\w.])"
)
_PLACE = re.compile(r"<\\(?P<counted>\d+)>|\\(?:g<)?(?P<copied>\d+)>?")


def renamed(key: str, renaming: Renaming) -> str:
    """Our name for another project's `key`; `key` itself if no rule matches."""
    for pattern, replacement in renaming.rules:
        match = re.fullmatch(pattern, key)
        if match:
            # Our names count units from one, theirs from zero.
            return re.sub(r"<(\d+)>", lambda m: str(int(m[1]) + 1), match.expand(replacement))
    return key


def original(key: str, renaming: Renaming) -> str | None:
    """The other project's name for our `key`, which `renamed` turns into `key`; None if no rule gives one."""
    for pattern, replacement in renaming.rules:
        backwards = _backwards(pattern, replacement)
        theirs = backwards(key) if backwards else None
        if theirs is not None and renamed(theirs, renaming) == key:
            return theirs
    return None


@cache
def _backwards(pattern: str, replacement: str) -> Callable[[str], str | None] | None:
    """The inverse of a rule; None if `_TOKEN` does not match every token of the pattern."""
    parts = _parts(pattern)
    if parts is None:
        return None
    groups = [part for kind, part in parts if kind == "group"]
    expression, last, counted = "", 0, set[int]()
    for place in _PLACE.finditer(replacement):
        number = int(place["counted"] or place["copied"])
        expression += re.escape(replacement[last : place.start()])
        inner = r"\d+" if place["counted"] else groups[number - 1]
        expression += f"(?P<g{number}>{inner})"
        last = place.end()
        counted |= {number} if place["counted"] else set()
    expression += re.escape(replacement[last:])

    def back(key: str) -> str | None:
        match = re.fullmatch(expression, key)
        if match is None:
            return None
        texts = {int(name[1:]): value for name, value in match.groupdict().items()}
        values = iter(str(int(texts[n]) - 1) if n in counted else texts.get(n, "") for n in range(1, len(groups) + 1))
        return "".join(next(values) if kind == "group" else part for kind, part in parts)

    return back


def _parts(pattern: str) -> list[tuple[str, str]] | None:
    """A pattern as its groups and texts, in order; None if it has another token."""
    parts: list[tuple[str, str]] = []
    place = 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        if token is None:
            return None
        if token["group"] is not None:
            parts.append(("group", token["group"]))
        elif token["choice"] is not None:
            first = token["choice"].split("|")[0].replace("\\", "")
            parts.append(("text", "" if token["optional"] else first))
        else:
            parts.append(("text", token["escaped"] or token["text"]))
        place = token.end()
    return parts
