"""Typed records: read strictly from JSON or text, changed by dotted path, written back to JSON.

A record is a frozen dataclass. Its fields are numbers, text, choices (`Literal`), durations, tuples, values by name
(`dict[str, X]`), optional values or further records. The key `kind` says which record of a union the JSON holds: it is
the class's name in lower case with underscores.
"""

import dataclasses as dc
import types
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from convsmith.base.calls import parse_call, split_list
from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError, WrongType, unknown
from convsmith.base.record import as_python, hints, kind_of, ranges, read_choice, read_duration, type_name

R = TypeVar("R")


def edit(record: R, path: str, value: Any) -> R:
    """A copy with the field at `path` (such as `optimizer.lr`) set; a text is read as the field's type."""
    return _edit(record, path.split("."), value, "")


def edit_all(record: R, values: Sequence[tuple[str, Any]]) -> R:
    """A copy with several fields set, in any order; fields that are valid only together are set together.

    For example, a schedule of kind `step` needs its moments, and no other kind may have moments.
    """
    left = list(values)
    while left:
        failed: list[tuple[str, Any]] = []
        problem: UsageError | None = None
        for path, value in left:
            try:
                record = edit(record, path, value)
            except UsageError as error:
                failed.append((path, value))
                problem = problem or error
        if problem is not None and len(failed) == len(left):
            return _edit_together(record, left, problem)
        left = failed
    return record


def read(kind: type[R], data: Any, where: str = "") -> R:
    """The record of type `kind` that JSON `data` holds; unknown keys and wrong types are errors that name the field."""
    return cast(R, _read(kind, data, where or kind.__name__))


def read_value(kind: Any, value: Any, where: str) -> Any:
    """The value as the type `kind` (a number, text, `Literal`, tuple, optional); errors begin with `where`."""
    return _read(kind, value, where)


def plain(value: Any) -> Any:
    """A record as JSON data; records of a union carry their `kind`."""
    if isinstance(value, Duration):
        return str(value)
    if dc.is_dataclass(value) and not isinstance(value, type):
        record = cast(Any, value)
        data: dict[str, Any] = {"kind": kind_of(_class(record))} if getattr(record, "tagged", False) else {}
        return data | {f.name: plain(getattr(record, f.name)) for f in dc.fields(record)}
    if isinstance(value, tuple | list):
        return [plain(v) for v in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: plain(v) for name, v in cast("dict[str, Any]", value).items()}
    return value


def options(record: Any, prefix: str = "") -> Iterator[tuple[str, str, Any, str]]:
    """Every dotted path of a record with its type and range in words, its value and its line of help."""
    kinds, limits = hints(_class(record)), ranges(_class(record))
    for field in dc.fields(record):
        value, path = getattr(record, field.name), prefix + field.name
        if dc.is_dataclass(value) and not isinstance(value, Duration):
            yield from options(cast(Any, value), path + ".")
        else:
            yield path, type_name(kinds[field.name], limits.get(field.name)), value, field.metadata.get("help", "")


def members(record: type, prefix: str = "") -> Iterator[tuple[str, type]]:
    """Each type of record that is written as text, such as `crop(4)`, with the dotted path of its field."""
    for field in dc.fields(record):
        kind, path = hints(record)[field.name], prefix + field.name
        if dc.is_dataclass(kind):
            yield from members(cast(type, kind), path + ".")
        else:
            yield from ((path, member) for member in _leaves(kind) if getattr(member, "tagged", False))


def _leaves(kind: Any) -> Iterator[Any]:
    """The types inside a type, such as the members of a union or the items of a list."""
    if get_origin(kind) in (Union, types.UnionType, tuple):
        for inner in get_args(kind):
            yield from _leaves(inner)
    else:
        yield kind


def _class(record: Any) -> type:
    return record.__class__


def _edit(record: Any, path: list[str], value: Any, done: str) -> Any:
    name, kinds, where = path[0], hints(_class(record)), done + path[0]
    if name not in kinds or name not in {f.name for f in dc.fields(record)}:
        raise unknown("key", where, [done + f.name for f in dc.fields(record)])
    old = getattr(record, name)
    if len(path) == 1:
        return dc.replace(record, **{name: _read(kinds[name], value, where)})
    if not dc.is_dataclass(old) or isinstance(old, Duration):
        raise UsageError(f"{where} is {old!r}: it has no field {path[1]!r} to set")
    return dc.replace(record, **{name: _edit(old, path[1:], value, where + ".")})


def _edit_together(record: R, values: Sequence[tuple[str, Any]], problem: UsageError) -> R:
    """The record with all fields set at once. Raises `problem` if that is no valid record either."""
    data: dict[str, Any] = plain(record)
    for path, value in values:
        *parents, name = path.split(".")
        inner = data
        for parent in parents:
            child = inner.get(parent)
            if not isinstance(child, dict):
                raise problem
            inner = cast("dict[str, Any]", child)
        inner[name] = value
    try:
        return cast(R, _read(type(record), data, ""))
    except UsageError:
        raise problem from None


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, value = get_origin(kind), as_python(value)
    if origin in (Union, types.UnionType):
        return _read_union(kind, value, where)
    if origin is Literal:
        return read_choice(get_args(kind), value, where)
    if origin is dict:
        return _read_dict(get_args(kind)[1], value, where)
    if origin is tuple:
        return _read_tuple(get_args(kind)[0], value, where)
    if kind is Duration:
        return read_duration(value, where)
    if dc.is_dataclass(kind):
        return _read_record(cast(type, kind), value, where)
    return _read_scalar(kind, value, where)


def _read_scalar(kind: type, value: Any, where: str) -> Any:
    if kind is str and isinstance(value, str):
        return value
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off"):
        return value.lower() in ("true", "yes", "on")
    if kind in (int, float) and isinstance(value, str):
        try:
            value = kind(value)
        except ValueError:
            raise WrongType(f"{where}: expected a {type_name(kind)}, received {value!r:.200}") from None
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 10**300 else float("inf")
    if type(value) is not kind:
        raise WrongType(f"{where}: expected {type_name(kind)}, received {value!r:.200}")
    if (kind is float and value in (float("inf"), float("-inf"))) or value != value:
        raise UsageError(f"{where}: expected a finite number, received {value!r}")
    return value


def _read_tuple(item: Any, value: Any, where: str) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [] if value.strip().lower() in ("", "none") else split_list(value)
    if not isinstance(value, list | tuple):
        raise WrongType(f"{where}: expected a list of {type_name(item)}, received {value!r:.200}")
    items = cast("list[Any]", value)
    return tuple(_read(item, v, f"{where}[{i}]") for i, v in enumerate(items))


def _read_dict(item: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WrongType(f"{where}: expected {type_name(item)} by name, received {value!r:.200}")
    named = cast("dict[str, Any]", value)
    return {name: _read(item, v, f"{where}.{name}") for name, v in named.items()}


def _read_union(kind: Any, value: Any, where: str) -> Any:
    members = get_args(kind)
    if type(None) in members:
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        rest = tuple(m for m in members if m is not type(None))
        return _read(rest[0] if len(rest) == 1 else Union[rest], value, where)  # noqa: UP007 - built at run time
    if all(dc.is_dataclass(m) for m in members):
        return _read_record(members, value, where)
    for member in members:
        try:
            return _read(member, value, where)
        except UsageError:
            continue
    raise WrongType(f"{where}: expected {type_name(kind)}, received {value!r:.200}")


def _gathered(record: type, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments as one tuple if the only field of the record is a list, as in `multi_scale(224, 256)`."""
    kinds = [hints(record)[f.name] for f in dc.fields(record)]
    alone = len(kinds) == 1 and get_origin(kinds[0]) is tuple
    return (args,) if alone and args and not isinstance(args[0], tuple | list) else args


def _read_record(kinds: type | tuple[type, ...], value: Any, where: str) -> Any:
    """A record of one of `kinds`, which its tag names; a text is read as a call, such as `crop(4)`."""
    union = {kind_of(k): k for k in (kinds if isinstance(kinds, tuple) else (kinds,))}
    if any(isinstance(value, k) for k in union.values()):
        return value
    if isinstance(value, str):
        call = parse_call(value)
        if call.name not in union:
            raise unknown(where.split("[")[0], call.name, union)
        names = [f.name for f in dc.fields(union[call.name])]
        args = _gathered(union[call.name], call.args)
        if len(args) > len(names):
            raise UsageError(f"{where}: {call.name} takes at most {len(names)} arguments, received {len(args)}")
        value = {"kind": call.name, **dict(zip(names, args, strict=False)), **dict(call.kwargs)}
    if not isinstance(value, dict):
        raise WrongType(f"{where}: expected {' or '.join(union)}, received {value!r:.200}")
    data = dict(cast("dict[str, Any]", value))
    # A record with a field called kind, such as a schedule, is not a member of a union and carries no tag.
    own = len(union) == 1 and any(f.name == "kind" for f in dc.fields(next(iter(union.values()))))
    tag = next(iter(union)) if own else data.pop("kind", next(iter(union)) if len(union) == 1 else None)
    if not isinstance(tag, str) or tag not in union:
        raise unknown(f"kind in {where}", str(tag), union)
    record, declared = union[tag], hints(union[tag])
    names = [f.name for f in dc.fields(record)]
    for key in data:
        if key not in names:
            raise unknown(f"key in {where}", str(key), names)
    required = [f.name for f in dc.fields(record) if f.default is dc.MISSING and f.default_factory is dc.MISSING]
    absent = [name for name in required if name not in data]
    if absent:
        raise UsageError(f"{where}: {tag} needs {', '.join(absent)}")
    return record(**{key: _read(declared[key], v, f"{where}.{key}") for key, v in data.items()})
