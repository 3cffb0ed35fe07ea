"""The cost of a network, counted on its tree without building it.

One MAC is one multiply-accumulate of a convolution, linear or recurrent layer. FLOPs are twice the MACs. Other
operations are counted apart as `elementwise`. An activation is an output of a convolution or linear layer: 4 bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import WrongType
from convsmith.nets.network import Network
from convsmith.nets.shape import Shape
from convsmith.nets.trace import Step
from convsmith.nets.tree import MAIN, Add, Gate, Leaf


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The cost of one operator; `output` is the channels, then the spatial sizes.

    `receptive_field` is the size of the input region that one output position sees, in pixels per axis (empty if
    unknown). `auxiliary` is true for an operator in a head other than the main one.
    """

    name: str
    op: str
    output: tuple[int, ...]
    params: int
    macs: int
    elementwise: int
    activations: int
    receptive_field: tuple[int, ...] = ()
    auxiliary: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """The totals of a network for one sample of shape `input`, and its layers in the order of execution.

    The totals cover the stages and the main head, which make the output. Only training runs auxiliary heads: these are
    counted apart as `auxiliary_params` and `auxiliary_macs`, and their layers are in `layers`.

    `receptive_field` is the size of the input region that the last features see, in pixels per axis, before the first
    operator that reads the whole image. `gated` is true if a gate reads the whole image earlier.
    """

    input: tuple[int, ...]
    params: int
    macs: int
    elementwise: int
    activations: int
    receptive_field: tuple[int, ...]
    gated: bool
    layers: tuple[LayerCost, ...]
    auxiliary_params: int = 0
    auxiliary_macs: int = 0

    @property
    def flops(self) -> int:
        """The FLOPs: twice the MACs."""
        return 2 * self.macs

    @property
    def activation_bytes(self) -> int:
        """The bytes of the outputs of convolution and linear layers as 32-bit floats."""
        return 4 * self.activations


def cost(network: Network, input: Sequence[int] | Shape | None = None) -> Cost:
    """Parameters, MACs, activations and receptive field of `network` for an input (channels, height, width)."""
    if not isinstance(network, Network):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may have no types
        raise WrongType(f"expected a network, such as network('resnet18'), received {network!r:.60}")
    shape = network.input if input is None else as_shape(input)
    traced = network.trace(shape)
    others = {name for name, _ in network.heads if name != MAIN}
    layers = [_layer(step, _part(step) in others) for step in traced.steps if isinstance(step.node, Leaf)]
    main = [layer for layer in layers if not layer.auxiliary]
    auxiliary = [layer for layer in layers if layer.auxiliary]
    joins = sum(_join_operations(step) for step in traced.steps if _part(step) not in others)
    field = traced.stages[MAIN].field
    return Cost(
        input=tuple(shape),
        params=sum(layer.params for layer in main),
        macs=sum(layer.macs for layer in main),
        elementwise=joins + sum(layer.elementwise for layer in main),
        activations=sum(layer.activations for layer in main),
        receptive_field=field.size,
        gated=field.gated,
        layers=tuple(layers),
        auxiliary_params=sum(layer.params for layer in auxiliary),
        auxiliary_macs=sum(layer.macs for layer in auxiliary),
    )


def as_shape(input: Sequence[int] | Shape) -> Shape:
    """(channels, height, width) as a `Shape`."""
    if isinstance(input, Shape):
        return input
    given = tuple(input) if isinstance(input, Sequence) else ()  # pyright: ignore[reportUnnecessaryIsInstance]
    if not given or not all(type(n) is int and n > 0 for n in given):
        raise WrongType(f"expected an input shape such as (3, 224, 224), received {input!r}")
    return Shape(input[0], tuple(input[1:]))


def _part(step: Step) -> str:
    """The stage or head that a step belongs to."""
    return step.path.partition(".")[0]


def _layer(step: Step, auxiliary: bool) -> LayerCost:
    leaf, x, y = step.node, step.x.shape, step.y.shape
    if not isinstance(leaf, Leaf):
        raise TypeError(f"{step.path} is not an operator")
    return LayerCost(
        name=step.path,
        op=leaf.op,
        output=tuple(y),
        params=leaf.params(x),
        macs=leaf.macs(x, y),
        elementwise=leaf.elementwise(x, y),
        activations=y.elements if leaf.weighted else 0,
        receptive_field=step.y.field.size,
        auxiliary=auxiliary,
    )


def _join_operations(step: Step) -> int:
    """The element-wise operations of a sum or a gate."""
    if isinstance(step.node, Add):
        return (len(step.node.children) - 1) * step.y.shape.elements
    return step.y.shape.elements if isinstance(step.node, Gate) else 0
