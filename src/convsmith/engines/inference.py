"""A network as the engines take it, and its form with the fewest operations."""

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convsmith.base.errors import NoChange
from convsmith.nets.model import Model
from convsmith.nets.modules.build import BuiltNetwork, build
from convsmith.nets.network import Network
from convsmith.nets.weights.carry import carry

# Each keeps the outputs in evaluation.
MERGES = ("reparameterise", "fold_norm")


@dataclass(frozen=True)
class Inference:
    """A network for inference: its module in evaluation mode, on the CPU, and the shape of one image.

    Outputs are divided by `temperature` before the softmax, or the sigmoid if `multilabel`. `channels_last` is the
    memory format of the images in training; a user's own module may take no other. If `features_before` is a text, the
    network gives its features (`Means`): those before the layer at this path, or those of the stages if it is empty.
    """

    module: nn.Module
    network: Model
    shape: tuple[int, ...]
    channels_last: bool
    temperature: float = 1.0
    multilabel: bool = False
    features_before: str | None = None

    def probabilities(self, outputs: Tensor) -> Tensor:
        """The probability of each class, (N, classes), from the outputs (N, classes)."""
        scaled = outputs / self.temperature
        return scaled.sigmoid() if self.multilabel else scaled.softmax(dim=1)

    @property
    def fast_layout(self) -> bool:
        """Whether images may be in the memory format channels_last, which is faster. A tree takes either format."""
        return self.channels_last or (self.network.tree is not None and len(self.shape) == 3)

    def given(self) -> nn.Module:
        """The unmerged network. It gives outputs, or features if `features_before` is set."""
        return self._wanted(self.module if self.features_before is None else copy.deepcopy(self.module))

    def _wanted(self, module: nn.Module) -> nn.Module:
        return module if self.features_before is None else Means(module, self.features_before)

    def merged(self) -> nn.Module:
        """A copy of the network, in which parallel convolutions and batch norms are merged if the network is a tree.

        Only the engines know the graph of another module, so it is copied as it is.
        """
        network = self.network.tree
        if network is None:
            return self._wanted(copy.deepcopy(self.module))
        state = self.module.state_dict()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoChange)
            for text in MERGES:
                network, state = carry(network, state, text)
        module = build(network, device="meta")
        # Cloned: an engine that changes its weights must not change those of `self.module`.
        module.load_state_dict({key: value.clone() for key, value in state.items()}, assign=True)
        _give_constants(module, self.module)
        return self._wanted(module.eval().requires_grad_(False))


def _give_constants(module: nn.Module, given: nn.Module) -> None:
    """Buffers that are no part of the state, such as a fixed window: a module made on the meta device lacks them."""
    values = dict(given.named_buffers())
    for path, layer in module.named_modules():
        for name in layer._non_persistent_buffers_set:
            layer.register_buffer(name, values[f"{path}.{name}"].clone(), persistent=False)


class Means(nn.Module):
    """The network's features: each stage's output, averaged over its positions, then what the last layer receives."""

    def __init__(self, module: nn.Module, last: str):
        super().__init__()
        self.network, self.last = module, last
        if last:
            self.network.set_submodule(last, nn.Identity())
        self.names = [name for name, _ in module.tree.stages] if isinstance(module, BuiltNetwork) else []

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, columns) of images (N, C, H, W)."""
        if not self.names:
            return self.network(x).flatten(1)
        out, seen = self.network(x, at=self.names)
        means = [seen[name].flatten(2).mean(dim=2) if seen[name].ndim > 2 else seen[name] for name in self.names]
        return torch.cat([*means, out.flatten(1)] if self.last else means, dim=1)


def untrained(network: Network, images: Tensor) -> Inference:
    """A network for timing: weights drawn from a seed, batch norms with the statistics of `images` (N, C, H, W).

    Without the statistics, the activations of a deep network explode or vanish, and outputs could not be compared.
    """
    module = build(network, seed=0)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # the mean over what is seen
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module.train()(images)
    return Inference(module.eval(), network, tuple(network.input), channels_last=False)
