"""A trained network seen through views of its images: the mean of the probabilities of all of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from convsmith.base.errors import UsageError
from convsmith.data.augment.normalization import mean_color, normalize
from convsmith.data.preprocess import ImageInput
from convsmith.data.view_pixels import log_mean, seen
from convsmith.data.views import Dense, Draws, View, pick, scaled_records
from convsmith.nets.model import Model
from convsmith.nets.modules.random_layers import DropConnectLinear, DropPath, StochasticPool
from convsmith.nets.weights.dense import dense_module
from convsmith.training.engine import Engine
from convsmith.training.step import step_seed

# The layers that are random in training, by what `draws` calls them.
RANDOM: dict[str, tuple[type[nn.Module], ...]] = {
    "pooling": (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d, StochasticPool),
    "dropout": (nn.modules.dropout._DropoutNd, DropPath, DropConnectLinear),
}


@dataclass(frozen=True)
class Viewer:
    """A module on its device with the views through which it looks; `records` say how images of a scale are decoded."""

    module: nn.Module
    views: tuple[View, ...]
    records: tuple[ImageInput, ...]
    preprocess: ImageInput
    engine: Engine
    temperature: float

    def batch(self, usual: int) -> int:
        """How many images go together, so that larger ones take no more memory than `usual` of the network's size."""
        height, width = self.preprocess.size
        largest = max(record.size[0] * record.size[1] for record in self.records)
        return max(1, usual * height * width // max(largest, height * width))

    def outputs(self, scaled: Sequence[Tensor], number: int) -> Tensor:
        """The logarithms of the mean probabilities, float64 (N, classes), of batch `number` of an evaluation.

        `scaled` are its images, uint8 (N, C, H, W), decoded by each of the records.
        """
        draws = pick(self.views, Draws)
        fill = mean_color(self.preprocess, scaled[0].device)
        found: list[tuple[float, Tensor]] = []
        with _ready(self.module, draws, self.engine), torch.no_grad(), self.engine.uncompiled():
            for draw in range(draws.count if draws else 1):
                if draws:
                    torch.manual_seed(step_seed(step_seed(draws.seed, draw), number))
                for images in scaled:
                    parts = seen(images, self.views, self.preprocess.size, fill)
                    found += [(share, self._logarithms(view)) for share, view in parts]
            total = sum(share for share, _ in found)
            return log_mean([(share / total, each) for share, each in found])

    def _logarithms(self, images: Tensor) -> Tensor:
        inputs = normalize(images, self.preprocess, memory_format=self.engine.memory_format)
        outputs = self.module(inputs).double()
        # A map of answers counts by the mean of its outputs, as the whole image's.
        outputs = outputs.flatten(2).mean(2) if outputs.dim() > 2 else outputs
        return functional.log_softmax(outputs / self.temperature, dim=1)


def make_viewer(
    module: nn.Module, network: Model, views: Sequence[View], preprocess: ImageInput, engine: Engine,
    temperature: float = 1.0,
) -> Viewer:  # fmt: skip
    """The viewer of a network, its views checked against its images and its layers; UsageError where they do not fit.

    Its module shares the weights of `module` wherever the network can be applied as it is.
    """
    records = scaled_records(views, preprocess)
    if pick(views, Dense):
        module = dense_module(network, module, [record.size for record in records])
    draws = pick(views, Draws)
    if draws and not random_layers(module, draws):
        kinds = "random pooling or dropout" if draws.of == "all" else f"random {draws.of}"
        raise UsageError(
            f"draws: the network has no layer with {kinds}, so that every draw is the same; leave draws out, or train "
            "with such a layer: --edit dropout=0.2"
        )
    viewer = Viewer(engine.place(module), tuple(views), records, preprocess, engine, temperature)
    if network.tree is None and pick(views, Dense):
        _try(viewer)
    return viewer


def _try(viewer: Viewer) -> None:
    """UsageError where a module of others fails on blank images of the viewer's sizes."""
    for record in viewer.records:
        blank = torch.zeros((1, record.channels, *record.size), dtype=torch.uint8, device=viewer.engine.device)
        try:
            viewer.outputs([blank], 0)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"dense: the module failed on images of {record.size[0]}x{record.size[1]} pixels ({reason:.200}); "
                "leave dense out"
            ) from error


def random_layers(module: nn.Module, draws: Draws) -> list[nn.Module]:
    """The layers of a module that the draws leave random."""
    kinds = tuple(kind for name, those in RANDOM.items() if draws.of in ("all", name) for kind in those)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


@contextmanager
def _ready(module: nn.Module, draws: Draws | None, engine: Engine) -> Iterator[None]:
    """As in evaluation but for the layers that draws leave random; modes and torch's generator are put back."""
    modes = {layer: layer.training for layer in module.modules()}
    with engine.generator_kept():
        module.eval()
        for layer in random_layers(module, draws) if draws else ():
            layer.training = True
        try:
            yield
        finally:
            for layer, mode in modes.items():
                layer.training = mode
