"""From a run directory to what it learned: a module with its weights, its preprocessing and its labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from convsmith.base.config import read
from convsmith.base.errors import BadFile, UsageError
from convsmith.data.card import Card
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import Preprocess
from convsmith.nets.build import build
from convsmith.nets.carry import carry
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign, check_unchanged, make
from convsmith.nets.tree import MAIN
from convsmith.runs.calibration import stored_temperature
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory, open_run
from convsmith.runs.network import network_of


@dataclass(frozen=True)
class Subject:
    """A trained network with all that is needed to use it. `module` is in evaluation mode, on the processor.

    Its outputs divided by `temperature` are what probabilities are made of; 1 where the run is not calibrated.
    """

    run: RunDirectory
    module: nn.Module
    network: Network | Foreign
    preprocess: Preprocess
    card: Card
    step: int
    warnings: tuple[str, ...]
    temperature: float = 1.0

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs."""
        return self.card.classes

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several of the classes, each by itself, or none."""
        return self.card.multilabel

    @property
    def channels_last(self) -> bool:
        """The memory layout of images that the network was trained with; a module of a user's own may take no other."""
        return bool(self.run.record("recipe")["engine"]["channels_last"])

    @property
    def input(self) -> tuple[int, int, int]:
        """The shape of one sample: channels, height, width."""
        return (self.preprocess.channels, *self.preprocess.size)


def open_subject(
    path: str | Path,
    checkpoint: Literal["selected", "last", "best"] = "selected",
    edits: Sequence[str] = (),
) -> Subject:
    """The trained network of the run at `path`; "selected" are the weights that its recipe says to use.

    `edits` are made on the network and its weights: those that need no training and keep the input and the outputs.
    """
    run = open_run(path)
    which = run.record("recipe")["recipe"]["select"] if checkpoint == "selected" else checkpoint
    network = network_of(run)
    module = make_module(network, seed=0)
    saved = load_checkpoint(run, which)
    try:
        module.load_state_dict(saved.model)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise BadFile(run.path / "checkpoints", f"does not fit the run's network ({reason:.200})") from None
    if edits:
        network, module = _edited(network, module, edits)
    temperature, notes = stored_temperature(run, saved.step, bool(edits))
    return Subject(
        run=run,
        module=module.eval(),
        network=network,
        preprocess=Preprocess.from_json(run.record("preprocess")),
        card=Card.from_json(run.record("data")["card"]),
        step=saved.step,
        warnings=(*saved.warnings, *notes),
        temperature=temperature,
    )


def _edited(network: Network | Foreign, module: nn.Module, edits: Sequence[str]) -> tuple[Network, nn.Module]:
    """The network after `edits` and its module with the weights that follow from the trained ones."""
    if isinstance(network, Foreign):
        raise UsageError(f"{network.source} is no tree, so it cannot be edited")
    state, ends = module.state_dict(), (network.input, network.trace().stages[MAIN].shape)
    for text in edits:
        network, state = carry(network, state, text)
    if (network.input, network.trace().stages[MAIN].shape) != ends:
        raise UsageError(f"edit: {', '.join(edits)} changes the input or the outputs, which are the run's")
    module = build(network, seed=0)
    module.load_state_dict(state)
    return network, module


def make_module(network: Network | Foreign, seed: int) -> nn.Module:
    """The module with fresh weights, a function of the seed; torch's global generator does not move."""
    if isinstance(network, Network):
        return build(network, seed=seed)
    check_unchanged(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make(network)
    if not isinstance(module, nn.Module):
        raise UsageError(f"{network.source}: expected a torch.nn.Module, received a {type(module).__name__}")
    return module


def data_options_of(run: RunDirectory) -> DataOptions:
    """The data options that a run was made with."""
    return read(DataOptions, run.record("recipe")["recipe"]["data"], str(run.path / "recipe.json"))
