"""Names that look the same: equal but for their Unicode form, their case or outer spaces."""

import unicodedata
from collections.abc import Collection, Sequence

_FORMS = {
    "their Unicode form (NFC, NFD)": lambda name: unicodedata.normalize("NFC", name),
    "case": lambda name: unicodedata.normalize("NFC", name).casefold(),
    "spaces at their ends": lambda name: " ".join(unicodedata.normalize("NFC", name).split()),
    "case and spaces": lambda name: " ".join(unicodedata.normalize("NFC", name).casefold().split()),
}


def nfc(name: str) -> str:
    """The name in the composed form, as most systems write it; macOS writes the other."""
    return unicodedata.normalize("NFC", name)


def matched(name: str, known: Collection[str], beside: Collection[str] = ()) -> str:
    """The name of `known` that is `name` in another Unicode form; `name` itself where it is known, or none or two are.

    A name that stands `beside` it already is not taken twice.
    """
    if name in known:
        return name
    near = [other for other in known if nfc(other) == nfc(name) and other not in beside]
    return near[0] if len(near) == 1 else name


def equal_names(names: Sequence[str]) -> list[str]:
    """A sentence for each pair of names that a reader would take for one."""
    lines: list[str] = []
    told: set[frozenset[str]] = set()
    for what, form in _FORMS.items():
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(form(name), name)
            pair = frozenset((name, other))
            if other != name and pair not in told:
                told.add(pair)
                lines.append(f"the classes {other!a} and {name!a} are equal but for {what}: are they one?")
    return lines


def twin(name: str, names: Sequence[str]) -> str | None:
    """The one of `names` that is `name` but for form, case and spaces; None where there is none or more than one."""
    form = _FORMS["case and spaces"]
    near = [other for other in names if other != name and form(other) == form(name)]
    return near[0] if len(near) == 1 else None
