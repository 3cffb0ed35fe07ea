"""`Network`, the root of a tree: named stages and heads, the family and its numbers, and the JSON form."""

import dataclasses as dc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from convsmith.base.config import read, read_value
from convsmith.base.errors import UsageError, WrongType, unknown
from convsmith.nets.limits import LARGEST_NUMBER, MOST_NODES, check_numbers
from convsmith.nets.ops import OPERATORS, Sample
from convsmith.nets.shape import Field, Input, Shape, Signal
from convsmith.nets.trace import Step, follow
from convsmith.nets.tree import COMBINATORS, MAIN, WIRES, Branching, Keep, Node, check_name, walk

if TYPE_CHECKING:
    from convsmith.nets.cost import Cost
    from convsmith.nets.modules.build import BuiltNetwork  # which needs torch

FORMAT = 1
_MAX_DEPTH = 64  # of a tree read from JSON; the trees of the zoo stay under 12


@dc.dataclass(frozen=True, kw_only=True)
class Network:
    """A network as data.

    `stages` run one after the other; each of `heads` receives the last stage's output (or, by `use`, a kept value).
    `numbers` are the arguments of its family. `init` names the rule of initialization. `edits` are the edits made
    since. `recompute` is the number of children of a stage in a group that training computes twice instead of keeping
    the values inside (0: no group).

    `inputs` are the further inputs: each is a kept value before stage 1, which `use` reads by its name. The first input
    is called `input_name`; with `input_dtype` "int64" it holds tokens.
    """

    name: str
    family: str
    input: Shape
    stages: tuple[tuple[str, Node], ...]
    heads: tuple[tuple[str, Node], ...]
    numbers: dict[str, Any] = dc.field(default_factory=lambda: {})
    init: str = "torch"
    edits: tuple[str, ...] = ()
    recompute: int = 0
    inputs: tuple[Input, ...] = ()
    input_name: str = "images"
    input_dtype: Literal["float32", "int64"] = "float32"

    def __post_init__(self) -> None:
        if not self.name.strip() or not all(text.isprintable() for text in (self.name, *self.edits)):
            raise UsageError(f"a network's name and edits are printable text, received {self.name!r:.60}")
        names = [name for name, _ in self.stages + self.heads]
        for name in names:
            check_name(name)
        if len(set(names)) != len(names):
            raise UsageError(f"{self.name}: two stages or heads have one name: {', '.join(names)}")
        received = [input.name for input in self.receives]
        for name in received:
            check_name(name)
        taken = [name for name in received[1:] if name in names or received.count(name) > 1]
        if taken:
            raise UsageError(f"{self.name}: an input has the name of another, a stage or a head: {', '.join(taken)}")
        kept = [n.name for _, stage in self.stages + self.heads for _, n in walk(stage) if isinstance(n, Keep)]
        for what, others in (("a stage or head", names), ("an input", received[1:])):
            if taken := [name for name in kept if name in others]:
                raise UsageError(f"{self.name}: a kept value has the name of {what}: {', '.join(taken)}")
        if MAIN not in dict(self.heads):
            heads = ", ".join(dict(self.heads)) or "none"
            raise UsageError(f"{self.name}: a network needs a head called {MAIN!r}, has {heads}")

    @property
    def source(self) -> str:
        """The name: the origin of a network of the zoo."""
        return self.name

    @property
    def tree(self) -> "Network":
        """The network itself, which is a tree."""
        return self

    @property
    def classes(self) -> int:
        """The number of outputs of the main head."""
        return self.trace().stages[MAIN].shape.channels

    @property
    def receives(self) -> tuple[Input, ...]:
        """All inputs, the first one first."""
        return (Input(self.input_name, self.input, self.input_dtype), *self.inputs)

    @property
    def noise(self) -> int:
        """The number of standard normal numbers that one example draws; 0 for a network without `Sample`."""
        return sum(step.y.shape.elements for step in self.trace().steps if isinstance(step.node, Sample))

    def trace(self, input: Shape | None = None) -> "Traced":
        """Follow an input of shape `input` (by default the network's) through every stage and head."""
        return trace_network(self, input or self.input)

    def make(self, seed: int) -> "BuiltNetwork":
        """The module, its weights a function of the seed."""
        from convsmith.nets.modules.build import build

        return build(self, seed=seed)

    def price(self, input: Sequence[int] | None = None) -> "Cost":
        """The cost for an input (channels, then the sizes), by default the network's own input."""
        from convsmith.nets.cost import cost

        return cost(self, input)

    def named(self, path: str) -> str:
        """The name in a recipe of the tree whose file is `path`."""
        return path

    def _repr_svg_(self) -> str:
        """The stages as an SVG picture, which a notebook shows."""
        # `drawing` imports this module, so this import waits until a picture is wanted.
        from convsmith.nets.views.drawing import draw

        return draw(self)

    def to_json(self) -> dict[str, Any]:
        """The network as JSON data; `Network.from_json` reads it back equal."""
        return {
            "format": FORMAT,
            "name": self.name,
            "family": self.family,
            "numbers": {name: _listed(value) for name, value in self.numbers.items()},
            "input": list(self.input),
            "init": self.init,
            "edits": list(self.edits),
            **({"recompute": self.recompute} if self.recompute else {}),
            **({"inputs": [_input_to_json(input) for input in self.inputs]} if self.inputs else {}),
            **({"input_name": self.input_name} if self.input_name != "images" else {}),
            **({"input_dtype": self.input_dtype} if self.input_dtype != "float32" else {}),
            "stages": {name: node_to_json(node) for name, node in self.stages},
            "heads": {name: node_to_json(node) for name, node in self.heads},
        }

    @staticmethod
    def from_json(data: Any) -> "Network":
        """The network that JSON data holds; operators come only from the table `OPERATORS`, never from a class path."""
        try:
            return _network_from_json(data)
        except RecursionError:
            raise UsageError("the network's numbers are nested too deep to be read") from None


@dc.dataclass(frozen=True)
class Traced:
    """The trace of a network for one input: every step in order, and the signal at the end of each stage and head."""

    steps: tuple[Step, ...]
    stages: dict[str, Signal]


def trace_network(network: Network, input: Shape) -> Traced:
    """Follow `input` through the stages, then through each head; an error names the node that does not fit."""
    steps: list[Step] = []
    ends: dict[str, Signal] = {}
    kept = {
        other.name: Signal(other.shape, Field.point(len(other.shape.spatial), other.name)) for other in network.inputs
    }
    signal = Signal(input, Field.point(len(input.spatial)))
    for name, node in network.stages:
        steps += follow(node, signal, kept, name)
        signal = ends[name] = steps[-1].y
    for name, node in network.heads:
        steps += _head_steps(name, node, signal, kept)
        ends[name] = steps[-1].y
    return Traced(tuple(steps), ends)


def _head_steps(name: str, node: Node, signal: Signal, kept: dict[str, Signal]) -> list[Step]:
    try:
        return follow(node, signal, kept, name)
    except UsageError as error:
        if name == MAIN:
            raise
        raise UsageError(f"{error}; the edit main_head leaves out {name}, which only training uses") from None


def node_to_json(node: Node) -> dict[str, Any]:
    """A node as JSON data; fields at their default are left out."""
    if isinstance(node, Branching):
        return {"op": node.op, "children": {name: node_to_json(child) for name, child in node.children}}
    fields = {f.name: getattr(node, f.name) for f in dc.fields(node)}
    defaults = {f.name: f.default for f in dc.fields(node)}
    given = {name: _listed(value) for name, value in fields.items() if value != defaults[name]}
    return {"op": node.op, **given}


def node_from_json(data: Any, where: str = "tree", depth: int = 0) -> Node:
    """The node that JSON data holds; an unknown operator, an unknown field or a wrong type raises with its place."""
    if depth > _MAX_DEPTH:
        raise UsageError(f"{where}: the tree is nested deeper than {_MAX_DEPTH}")
    if not isinstance(data, dict) or not isinstance(cast("dict[str, Any]", data).get("op"), str):
        raise WrongType(f"{where}: expected an object with an 'op', received {data!r:.80}")
    fields = dict(cast("dict[str, Any]", data))
    op = fields.pop("op")
    if op in COMBINATORS:
        children = fields.pop("children", None)
        if fields or not isinstance(children, dict):
            raise UsageError(f"{where}: {op} takes an object of children and nothing else")
        named = cast("dict[str, Any]", children)
        return COMBINATORS[op](tuple((k, node_from_json(v, f"{where}.{k}", depth + 1)) for k, v in named.items()))
    if op not in OPERATORS and op not in WIRES:
        raise unknown(f"operator in {where}:", op, [*OPERATORS, *COMBINATORS, *WIRES])
    node = read(OPERATORS[op] if op in OPERATORS else WIRES[op], fields, where)
    check_numbers(node, where)
    return node


def _listed(value: Any) -> Any:
    return [_listed(item) for item in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in cast("list[Any]", value)) if isinstance(value, list) else value


_JSON_NAMES: dict[type, str] = {int: "number", str: "string", list: "array", dict: "object"}
_FIELDS: dict[str, type] = {
    "format": int,
    "name": str,
    "family": str,
    "numbers": dict,
    "input": list,
    "init": str,
    "edits": list,
    "stages": dict,
    "heads": dict,
}
_OPTIONAL: dict[str, type] = {"recompute": int, "inputs": list, "input_name": str, "input_dtype": str}
_MOST_INPUTS = 16


def _shape_from_json(data: Any, where: str) -> Shape:
    sizes = cast("list[Any]", data)
    whole = isinstance(data, list) and all(type(n) is int and 0 < n <= LARGEST_NUMBER for n in sizes)
    if not whole or not 1 <= len(sizes) <= 4:
        raise WrongType(f"{where}: expected channels and sizes of at least 1, received {data!r:.80}")
    return Shape(sizes[0], tuple(sizes[1:]))


def _dtype_from_json(data: Any, where: str) -> Literal["float32", "int64"]:
    return read_value(Literal["float32", "int64"], data, where)


def _input_to_json(input: Input) -> dict[str, Any]:
    return {"name": input.name, "shape": list(input.shape), "dtype": input.dtype}


def _inputs_from_json(data: list[Any]) -> tuple[Input, ...]:
    if len(data) > _MOST_INPUTS:
        raise UsageError(f"inputs: expected at most {_MOST_INPUTS}, received {len(data)}")
    inputs: list[Input] = []
    for at, row in enumerate(data):
        where = f"inputs[{at}]"
        fields = cast("dict[str, Any]", row)
        if not isinstance(row, dict) or fields.keys() != {"name", "shape", "dtype"}:
            raise WrongType(f"{where}: expected an object of name, shape and dtype, received {row!r:.80}")
        if not isinstance(fields["name"], str):
            raise WrongType(f"{where}.name: expected a text, received {fields['name']!r:.80}")
        shape = _shape_from_json(fields["shape"], f"{where}.shape")
        inputs.append(Input(fields["name"], shape, _dtype_from_json(fields["dtype"], f"{where}.dtype")))
    return tuple(inputs)


def _network_from_json(data: Any) -> Network:
    if not isinstance(data, dict):
        raise WrongType(f"expected a network as a JSON object, received {data!r:.80}")
    fields = cast("dict[str, Any]", data)
    if fields.get("format") != FORMAT:
        raise UsageError(
            f"the network's format is {fields.get('format')!r:.40}; this version of convsmith reads {FORMAT}"
        )
    for name in fields:
        if name not in _FIELDS | _OPTIONAL:
            raise unknown("field of a network", name, _FIELDS | _OPTIONAL)
    for name, kind in (_FIELDS | _OPTIONAL).items():
        if name not in fields and name in _FIELDS:
            raise UsageError(f"the network lacks {name!r}")
        if name in fields and not isinstance(fields[name], kind):
            raise WrongType(f"{name}: expected a JSON {_JSON_NAMES[kind]}, received {fields[name]!r:.80}")
    input, edits = fields["input"], fields["edits"]
    if not 0 <= fields.get("recompute", 0) <= LARGEST_NUMBER:
        raise UsageError(f"recompute: expected 0 or more, received {fields['recompute']!r:.80}")
    if not all(isinstance(text, str) for text in edits):
        raise WrongType(f"edits: expected texts, received {edits!r:.80}")
    network = Network(
        name=fields["name"],
        family=fields["family"],
        numbers={name: _tupled(value) for name, value in fields["numbers"].items()},
        input=_shape_from_json(input, "input"),
        init=fields["init"],
        edits=tuple(edits),
        recompute=fields.get("recompute", 0),
        inputs=_inputs_from_json(fields.get("inputs", [])),
        input_name=fields.get("input_name", "images"),
        input_dtype=_dtype_from_json(fields.get("input_dtype", "float32"), "input_dtype"),
        stages=tuple((name, node_from_json(node, name)) for name, node in fields["stages"].items()),
        heads=tuple((name, node_from_json(node, name)) for name, node in fields["heads"].items()),
    )
    nodes = sum(1 for _, part in network.stages + network.heads for _ in walk(part))
    if nodes > MOST_NODES:
        raise UsageError(f"{network.name:.80}: has {nodes:,} nodes; expected at most {MOST_NODES:,}")
    return network
