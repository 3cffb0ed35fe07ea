"""`Record`: a frozen dataclass whose fields state their ranges, which are checked whenever a record is made.

    @dataclass(frozen=True)
    class Crop(Record):
        padding: int = option(4, "pixels added on every side", least=0)

`Crop(-1)` is refused in Python, in text (`crop(-1)`) and in JSON by the same code, with the same message. Ranges are
data: help and docs print them, and a search over recipes draws from them.
"""

import dataclasses as dc
import re
import types
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Literal, Union, cast, get_args, get_origin, get_type_hints

from convsmith.base.durations import Duration, Unit
from convsmith.base.errors import UsageError, WrongType, unknown

_NAMES: dict[Any, str] = {int: "whole number", float: "number", bool: "true|false", str: "text", Duration: "duration"}
REQUIRED = dc.MISSING  # the default of an option without a default
_INFINITY = float("inf")
_CLASSES: dict[Any, Any] = {str: str, int: int, float: int | float, bool: bool, Duration: int | float}
# Python prints no whole number of more than 4,300 digits.
_MOST_BITS = 1000


@dc.dataclass(frozen=True, slots=True)
class Range:
    """The values that a field takes: numbers or durations between two ends, or one of `choices`.

    `kind` is int, float, Duration, bool or str, and None for the choices of a `Literal`. `least` and `most` belong to
    the range, `above` and `below` do not; they bound the amount of a duration. With `many` the field is a list, and the
    range holds for each item. With `none` the field takes None too. With `log` a search draws the number's logarithm.
    """

    kind: type | None
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    many: bool = False
    none: bool = False

    def __str__(self) -> str:
        """The ends in words: `from 0 to below 1`, `above 0, at most 1`; empty without ends."""
        low = f"above {self.above:g}" if self.above is not None else ""
        low = f"from {self.least:g}" if self.least is not None else low
        to = {"": ("at most", "below"), "from": ("to", "to below")}.get(low[:4].strip(), (", at most", ", below"))
        high = f"{to[1]} {self.below:g}" if self.below is not None else ""
        high = f"{to[0]} {self.most:.7g}" if self.most is not None else high
        return f"{low} {high}".replace(" ,", ",").strip()

    def __contains__(self, value: Any) -> bool:
        """Whether a number, an amount, a choice or one item of a list is in the range."""
        if self.choices:
            return any(_equal(value, choice) for choice in self.choices)
        return (
            -_INFINITY < value < _INFINITY
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def option(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    log: bool = False,
    check: Callable[[Any], object] | None = None,
    mend: str | None = None,
) -> Any:
    """A field with its default, the line of help that the command line prints, and the range of its numbers.

    `least` and `most` are in the range, `above` and `below` are not. `check` raises UsageError for a text or a list
    that is not valid. `mend` ends the message for a value outside the range; without it the default is stated there.
    """
    ends = {"least": least, "most": most, "above": above, "below": below, "log": log}
    metadata = {"help": help, "ends": ends, "check": check, "mend": mend}
    if callable(default):
        return dc.field(default_factory=default, metadata=metadata)
    return dc.field(default=default, metadata=metadata)


def ranges(record: type, prefix: str = "") -> dict[str, Range]:
    """The range of every field that has one, by its dotted path, including the fields of records inside."""
    by_path: dict[str, Range] = {}
    for name, range, *_ in _fields(record):
        kind, path = hints(record)[name], prefix + name
        if range is not None and range.kind is not str:
            by_path[path] = range
        elif dc.is_dataclass(kind):
            by_path |= ranges(cast(type, kind), path + ".")
    return by_path


@cache
def kind_of(record: type) -> str:
    """The name by which a union tells a record: `RandomCrop` is `random_crop`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", record.__name__).lower()


@cache
def hints(record: type) -> dict[str, Any]:
    """The types of a record's fields."""
    return get_type_hints(record)


def type_name(kind: Any, range: Range | None = None) -> str:
    """A type in words, with the ends of its range: `number from 0 to 1|none`."""
    if kind is type(None):
        return "none"
    if get_origin(kind) is Literal:
        return "|".join(str(a) for a in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return "|".join(dict.fromkeys(type_name(a, range) for a in get_args(kind)))
    if get_origin(kind) is tuple:
        return f"list of {type_name(get_args(kind)[0], range)}"
    if get_origin(kind) is dict:
        return f"{type_name(get_args(kind)[1], range)} by name"
    ends = str(range or "") if kind in (int, float, Duration) else ""
    return (_NAMES.get(kind) or kind_of(kind)) + (ends and f" {ends}")


def read_choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    """The choice that a value or its text names; errors begin with `where`."""
    for choice in choices:
        if _equal(value, choice) or (isinstance(value, str) and value == str(choice)):
            return choice
    text = value if isinstance(value, str) else _shown(value)
    raise unknown(f"value for {where}:", text, [str(c) for c in choices])


def read_duration(value: Any, where: str) -> Duration:
    """The duration that a value or its text states; errors begin with `where`."""
    try:
        return Duration.parse(value)
    except UsageError as error:
        raise type(error)(f"{where}: {error}") from None


def as_python(value: Any) -> Any:
    """A number or array of numpy or torch as Python's number or list; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


@cache
def _fields(record: type) -> tuple[tuple[str, Range | None, Callable[[Any], object] | None, dc.Field[Any]], ...]:
    """Each field's name, range and check."""
    return tuple(
        (f.name, _range(hints(record)[f.name], f.metadata.get("ends", {})), f.metadata.get("check"), f)
        for f in dc.fields(cast(Any, record))
    )


def _range(kind: Any, ends: dict[str, Any]) -> Range | None:
    """The range of a type; None for records and for unions of several types."""
    members = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    member, *others = [m for m in members if m is not type(None)]
    many = get_origin(member) is tuple
    member = get_args(member)[0] if many else member
    if others or not (member in _NAMES or get_origin(member) is Literal):
        return None
    choices = (False, True) if member is bool else get_args(member)
    kind = None if get_origin(member) is Literal else member
    return Range(kind, **ends, choices=choices, many=many, none=type(None) in members)


def _take(value: Any, range: Range, where: str, field: dc.Field[Any]) -> Any:
    """The value as the record keeps it. Raises UsageError if it is outside the range."""
    value = as_python(value)
    if value is None and range.none:
        return None
    if not range.many:
        return _take_one(value, range, where, field)
    if not isinstance(value, list | tuple):
        raise WrongType(f"{where}: expected a list, received {_shown(value)}")
    items = cast("tuple[Any, ...]", value)
    return tuple(_take_one(as_python(item), range, f"{where}[{i}]", field) for i, item in enumerate(items))


def _take_one(value: Any, range: Range, where: str, field: dc.Field[Any]) -> Any:
    if range.kind is None:
        return read_choice(range.choices, value, where)
    if range.kind is Duration and isinstance(value, str):
        value = read_duration(value, where)
    amount = value.amount if isinstance(value, Duration) and range.kind is Duration else value
    right = range.kind is not Duration or (isinstance(value, Duration) and value.unit in get_args(Unit))
    # A bool is an int in Python, but not a valid number.
    right &= isinstance(amount, _CLASSES[range.kind]) and isinstance(amount, bool) == (range.kind is bool)
    if right and (range.kind is str or amount in range):
        return value
    error = UsageError if right else WrongType
    raise error(f"{where}: expected {_expected(range)}, received {_shown(value)}{_mend(field)}")


def _expected(range: Range) -> str:
    if range.kind in (str, bool):
        return {str: "text", bool: "true or false"}[range.kind]
    ends = str(range)
    return f"a {'' if ends or range.kind is not float else 'finite '}{_NAMES[range.kind]}{ends and f' {ends}'}"


def _mend(field: dc.Field[Any]) -> str:
    mend, default = field.metadata.get("mend"), field.default
    if mend or default is dc.MISSING or isinstance(default, tuple):
        return f"; {mend}" if mend else ""
    return f"; the default is {'none' if default is None else f'{default:g}' if type(default) is float else default}"


def _equal(value: Any, choice: Any) -> bool:
    """Whether a value equals a choice; True does not equal 1."""
    same_kind = isinstance(value, str | int | float) and isinstance(value, bool) == isinstance(choice, bool)
    return same_kind and value == choice


def _shown(value: Any) -> str:
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"a whole number of {value.bit_length():,} bits"
    return f"{value!r:.200}"


class Record:
    """The base of the dataclasses that users write. Messages put `called` before the field's name."""

    tagged: ClassVar[bool] = False
    called: ClassVar[str]

    def __init_subclass__(cls, called: str | None = None) -> None:
        cls.called = kind_of(cls) if called is None else called

    def __post_init__(self) -> None:
        prefix = self.called and f"{self.called}."
        for name, range, check, field in _fields(type(self)):
            value = getattr(self, name)
            if range is not None and value is not field.default:  # a test checks that each default is in its range
                value = _take(value, range, prefix + name, field)
                object.__setattr__(self, name, value)
            if check is not None and value is not None:
                check(value)
        self.check()

    def check(self) -> None:
        """Raise UsageError if fields contradict each other. Their own ranges are checked before."""


class Tagged(Record):
    """A record of a union; the `kind` in its JSON names its class."""

    tagged: ClassVar[bool] = True


def check_order(record: Record, low: str, high: str) -> None:
    """Raise UsageError if the field `low` is above the field `high`."""
    begin, end = getattr(record, low), getattr(record, high)
    if begin > end:
        raise UsageError(
            f"{record.called}: expected {low} to be at most {high}, received {low} {begin} and {high} {end}"
        )
