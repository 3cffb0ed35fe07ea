"""A network as the engines take it, and the form of it that computes fewest operations."""

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convsmith.base.errors import NoChange
from convsmith.nets.build import build
from convsmith.nets.carry import carry
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign

# Each keeps the outputs in evaluation.
MERGES = ("reparameterise", "fold_norm")


@dataclass(frozen=True)
class Inference:
    """A network that is only run: its module in evaluation mode, on the processor, and the shape of one image.

    Outputs divided by `temperature` are what probabilities are made of; of several labels each is probable by itself.
    `channels_last` says how its images lay when it was trained; a module of a user's own may take no other layout.
    """

    module: nn.Module
    network: Network | Foreign
    shape: tuple[int, ...]
    channels_last: bool
    temperature: float = 1.0
    multilabel: bool = False

    def probabilities(self, outputs: Tensor) -> Tensor:
        """What the outputs (N, classes) say about each class."""
        scaled = outputs / self.temperature
        return scaled.sigmoid() if self.multilabel else scaled.softmax(dim=1)

    @property
    def fast_layout(self) -> bool:
        """Whether images may lie with the channels last, which convolutions prefer; a tree's may lie either way."""
        return self.channels_last or (isinstance(self.network, Network) and len(self.shape) == 3)

    def merged(self) -> nn.Module:
        """A module of its own with parallel convolutions and batch norms merged, where the network is a tree.

        The graph of a module that is no tree is known to the engines only; theirs is copied as it is.
        """
        if not isinstance(self.network, Network):
            return copy.deepcopy(self.module)
        network, state = self.network, self.module.state_dict()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoChange)
            for text in MERGES:
                network, state = carry(network, state, text)
        module = build(network, device="meta")
        # Copied: what an engine does to its weights must not reach the module they came from.
        module.load_state_dict({key: value.clone() for key, value in state.items()}, assign=True)
        return module.eval().requires_grad_(False)


def untrained(network: Network, images: Tensor) -> Inference:
    """A network without weights, for timing: drawn from a seed, its batch norms with the statistics of `images`.

    Without these, the values of a deep network grow or vanish, and nothing could be compared.
    """
    module = build(network, seed=0)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # the mean over what is seen
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module.train()(images)
    return Inference(module.eval(), network, tuple(network.input), channels_last=False)
