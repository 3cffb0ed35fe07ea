"""Names that differ only in their Unicode form, their case or their spaces, so that a reader takes them for one."""

import unicodedata
from collections.abc import Collection, Sequence

_FORMS = {
    "their Unicode form (NFC, NFD)": lambda name: unicodedata.normalize("NFC", name),
    "case": lambda name: unicodedata.normalize("NFC", name).casefold(),
    "spaces at their ends": lambda name: " ".join(unicodedata.normalize("NFC", name).split()),
    "case and spaces": lambda name: " ".join(unicodedata.normalize("NFC", name).casefold().split()),
}


def nfc(name: str) -> str:
    """The name in the composed form (NFC), which most systems write; macOS writes the decomposed form (NFD)."""
    return unicodedata.normalize("NFC", name)


def matched(name: str, known: Collection[str], beside: Collection[str] = ()) -> str:
    """The one name of `known` that equals `name` in another Unicode form; else `name` itself.

    Names in `beside` are taken already and do not count.
    """
    if name in known:
        return name
    near = [other for other in known if nfc(other) == nfc(name) and other not in beside]
    return near[0] if len(near) == 1 else name


def equal_names(names: Sequence[str]) -> list[str]:
    """A sentence for each pair of names that differ only in form, case or spaces."""
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
    """The one other name of `names` that equals `name` but for form, case and spaces; None if no or several do."""
    form = _FORMS["case and spaces"]
    near = [other for other in names if other != name and form(other) == form(name)]
    return near[0] if len(near) == 1 else None
