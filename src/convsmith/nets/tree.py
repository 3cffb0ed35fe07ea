"""A network as a tree: leaves are operators, four combinators join them, `keep` and `use` make other connections.

    seq   children one after the other
    add   children side by side, their outputs added         (residual)
    cat   children side by side, their channels concatenated (inception, dense)
    gate  children one after the other, their output multiplies the input (squeeze-excite)

    keep    stores the value under a name and returns it
    use     replaces the value by a kept one, or by a further input of the network
    unpool  puts each value where its window of a kept value had its maximum

A tree is plain data: it prints, compares, hashes, and converts to JSON and back. The names of children become the keys
of the built module's `state_dict`: a renamed child makes old weight files unreadable.
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

MAIN = "head"  # the head whose output is the network's output

Kind = Literal["conv", "linear", "pool", "norm", "act", "drop", "other"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree."""

    @property
    def op(self) -> str:
        """The operator's name, as in JSON and tables: `MaxPool` is `max_pool`."""
        return kind_of(type(self))

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the kept values that the node reads."""
        return ()


@dataclass(frozen=True, slots=True)
class TorchCall:
    """The torch class that an operator becomes: its path and keyword arguments; only `build` resolves it."""

    path: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leaf(Node):
    """An operator. A subclass overrides whatever differs from the identity.

    `x` is the input shape, `y` the output shape.
    """

    whole: ClassVar[bool] = False  # reads every position, whatever the size
    kind: ClassVar[Kind] = "other"  # how tables and drawings show it
    weighted: ClassVar[bool] = False  # counts as a layer: it has MACs, and its output is an activation
    rides: ClassVar[bool] = False  # drawn in small letters on the layer before it

    @property
    def pointwise(self) -> bool:
        """Whether it is a convolution that reads one position."""
        return False

    def words(self, widths: bool = True) -> str:
        """The operator in a table: `3x3 64`, `dw 3x3 96`, `max pool 3x3`; without the channels if not `widths`."""
        return self.op.replace("_", " ")

    def label(self) -> str:
        """The operator in a drawing: `conv 3×3, 64 /2`; by default the name and the fields that were set."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        options = ", ".join(f"{name} {value}" for name, value in given.items())
        return f"{self.op.replace('_', ' ')} {'' if self.rides else options}".strip()

    def alike(self, loose: bool) -> Hashable:
        """A key, equal for operators that a drawing folds into one; None for an operator that only some repeats have.

        `loose` ignores what only the first unit of a stage has, such as its stride.
        """
        return self

    def output(self, x: Shape) -> Shape:
        """The output shape for an input shape; raises `UsageError` for an input that does not fit."""
        return x

    def wants(self, x: Shape) -> tuple[Shape, ...]:
        """The shapes of the kept values that the operator `reads`, in their order."""
        return ()

    def params(self, x: Shape) -> int:
        """The number of trainable parameters."""
        return 0

    def macs(self, x: Shape, y: Shape) -> int:
        """Multiply-accumulates of a convolution, linear or recurrent layer; zero for everything else."""
        return 0

    def elementwise(self, x: Shape, y: Shape) -> int:
        """Operations that are not multiply-accumulates of a convolution or linear layer."""
        return 0

    def windows(self, x: Shape) -> tuple[Window, ...] | None:
        """The window that one output position reads, per axis; None if it reads its own position only."""
        return None

    def torch(self, x: Shape) -> TorchCall:
        """The torch module that computes the operator."""
        raise NotImplementedError(f"{self.op} has no torch class")


@dataclass(frozen=True, slots=True)
class Keep(Node):
    """Stores the value under `name` and returns it."""

    name: str


@dataclass(frozen=True, slots=True)
class Use(Node):
    """Returns the value kept under `name` and ignores its input."""

    name: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Unpool(Node):
    """Puts each value where its window of the kept value had its maximum, zeros elsewhere (Noh et al. 2015).

    `name` is the kept input of the pooling; `kernel`, `stride` and `padding` are the pooling's.
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
    """Children one after the other; the identity if there are none."""


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
    """Raise UsageError if a child's name cannot be an attribute of the built module."""
    if not name.isidentifier() or name.startswith("_") or name in RESERVED:
        raise UsageError(
            f"a child cannot be called {name!r}: use letters, digits and underscores, no attribute of torch.nn.Module"
        )


def _named(children: dict[str, Node | None]) -> tuple[tuple[str, Node], ...]:
    return tuple((name, node) for name, node in children.items() if node is not None)


def seq(**children: Node | None) -> Seq:
    """Children one after the other, without those that are None."""
    return Seq(_named(children))


def add(**children: Node | None) -> Add:
    """Children side by side, outputs added."""
    return Add(_named(children))


def cat(**children: Node | None) -> Cat:
    """Children side by side, outputs concatenated along the channels."""
    return Cat(_named(children))


def gate(**children: Node | None) -> Gate:
    """Children one after the other; their output multiplies the input."""
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
