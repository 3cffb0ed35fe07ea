"""A network as a tree: leaves are operators, four combinators join them, `keep` and `use` carry what is not a tree.

    seq   children one after the other
    add   children side by side, their outputs added         (residual)
    cat   children side by side, their channels concatenated (inception, dense)
    gate  children one after the other, their output scales the input (squeeze-excite)

    keep    remembers the value under a name and passes it on
    use     replaces the value by a remembered one, or by a further input of the network
    unpool  spreads the value over a remembered one's maxima

A tree is plain data: it prints, compares, hashes, goes to JSON and back. The names of children become the keys of the
built module's `state_dict`, so they are chosen once.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal

from convsmith.base.config import kind_of
from convsmith.base.errors import UsageError
from convsmith.nets.shape import Shape, Window

# The public attributes of torch.nn.Module and of our modules that have children: a child of that name would hide them.
_ATTRIBUTES = """
T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
eval extra_repr feature_info features float forward get_buffer get_extra_state get_parameter get_submodule half ipu
load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
register_state_dict_pre_hook requires_grad_ run set_extra_state set_submodule share_memory state_dict to to_empty
train training tree type xpu zero_grad
"""
RESERVED = frozenset(_ATTRIBUTES.split())

MAIN = "head"  # the head whose output a network gives

Kind = Literal["conv", "linear", "pool", "norm", "act", "drop", "other"]


@dataclass(frozen=True, slots=True)
class Node:
    """Anything in a tree."""

    @property
    def op(self) -> str:
        """The operator's name, as in JSON and tables: `MaxPool` is `max_pool`."""
        return kind_of(type(self))

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the kept values that it takes."""
        return ()


@dataclass(frozen=True, slots=True)
class TorchCall:
    """The torch class that an operator becomes: its path and keyword arguments; only `build` resolves it."""

    path: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leaf(Node):
    """An operator. A subclass says everything about itself; what it leaves out is that of the identity.

    `x` is the shape that it receives, `y` the one that it gives.
    """

    whole: ClassVar[bool] = False  # reads every position, whatever the size
    kind: ClassVar[Kind] = "other"  # what tables and drawings take it for
    weighted: ClassVar[bool] = False  # counts as a layer: it has MACs, and its output is an activation
    rides: ClassVar[bool] = False  # drawn in small letters on the layer before it

    @property
    def pointwise(self) -> bool:
        """Whether it is a convolution that reads one position."""
        return False

    def words(self, widths: bool = True) -> str:
        """The operator in a table: `3x3 64`, `dw 3x3 96`, `max pool 3x3`; without `widths` it lacks the channels."""
        return self.op.replace("_", " ")

    def label(self) -> str:
        """The operator in a drawing: `conv 3×3, 64 /2`; by default its name with the fields that differ from theirs."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        options = ", ".join(f"{name} {value}" for name, value in given.items())
        return f"{self.op.replace('_', ' ')} {'' if self.rides else options}".strip()

    def alike(self, loose: bool) -> Hashable:
        """Equal for operators that a drawing folds into one; None for one that repeats may have or lack.

        `loose` leaves out what the first unit of a stage has of its own, such as its stride.
        """
        return self

    def output(self, x: Shape) -> Shape:
        """The shape given for a shape received; raises `UsageError` for one that does not fit."""
        return x

    def wants(self, x: Shape) -> tuple[Shape, ...]:
        """The shapes of the kept values that it `reads`, in their order."""
        return ()

    def params(self, x: Shape) -> int:
        """Trainable numbers."""
        return 0

    def macs(self, x: Shape, y: Shape) -> int:
        """Multiply-accumulates of a convolution or linear layer; zero for everything else."""
        return 0

    def elementwise(self, x: Shape, y: Shape) -> int:
        """Operations that are not multiply-accumulates of a convolution or linear layer."""
        return 0

    def windows(self, x: Shape) -> tuple[Window, ...] | None:
        """What one output position reads, per axis; None where it reads its own position only."""
        return None

    def torch(self, x: Shape) -> TorchCall:
        """The torch module that computes it."""
        raise NotImplementedError(f"{self.op} says no torch class")


@dataclass(frozen=True, slots=True)
class Keep(Node):
    """Remembers the value under `name` and passes it on."""

    name: str


@dataclass(frozen=True, slots=True)
class Use(Node):
    """Gives the value remembered under `name`, whatever it receives."""

    name: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Unpool(Node):
    """Puts each value back where its window of the remembered value had its maximum, zeros elsewhere (Noh et al. 2015).

    `name` remembers what the pooling received; `kernel`, `stride` and `padding` are the pooling's.
    """

    name: str
    kernel: int = 2
    stride: int = 2
    padding: int = 0

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Branching(Node):
    """A node with named children."""

    children: tuple[tuple[str, Node], ...] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.children]
        for name in names:
            check_name(name)
        if len(set(names)) != len(names):
            raise UsageError(f"{self.op}: two children have one name: {', '.join(names)}")


@dataclass(frozen=True, slots=True)
class Seq(Branching):
    """Children one after the other; with none it is the identity."""


@dataclass(frozen=True, slots=True)
class Add(Branching):
    """Children side by side on one input, outputs added in their order."""


@dataclass(frozen=True, slots=True)
class Cat(Branching):
    """Children side by side on one input, outputs concatenated along the channels."""


@dataclass(frozen=True, slots=True)
class Gate(Branching):
    """Children one after the other; the input is multiplied by their output."""


COMBINATORS: dict[str, type[Branching]] = {"seq": Seq, "add": Add, "cat": Cat, "gate": Gate}
WIRES: dict[str, type[Node]] = {"keep": Keep, "use": Use, "unpool": Unpool}


def check_name(name: str) -> None:
    """Refuse a child's name that cannot be an attribute of the built module."""
    if not name.isidentifier() or name.startswith("_") or name in RESERVED:
        raise UsageError(
            f"a child cannot be called {name!r}: use letters, digits and underscores, no attribute of torch.nn.Module"
        )


def _named(children: dict[str, Node | None]) -> tuple[tuple[str, Node], ...]:
    return tuple((name, node) for name, node in children.items() if node is not None)


def seq(**children: Node | None) -> Seq:
    """Children one after the other; those that are None are left out."""
    return Seq(_named(children))


def add(**children: Node | None) -> Add:
    """Children side by side, outputs added."""
    return Add(_named(children))


def cat(**children: Node | None) -> Cat:
    """Children side by side, outputs concatenated along the channels."""
    return Cat(_named(children))


def gate(**children: Node | None) -> Gate:
    """Children one after the other, their output scales the input."""
    return Gate(_named(children))


IDENTITY = seq()


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every node with its dotted path, parents before children, children in order."""
    yield path, node
    if isinstance(node, Branching):
        for name, child in node.children:
            yield from walk(child, f"{path}.{name}" if path else name)


def rewrite(node: Node, change: Callable[[str, Node], Node], path: str = "") -> Node:
    """The tree with every node replaced by `change(path, node)`, children before parents."""
    if isinstance(node, Branching):
        children = tuple((n, rewrite(c, change, f"{path}.{n}" if path else n)) for n, c in node.children)
        if children != node.children:
            node = replace(node, children=children)
    return change(path, node)
