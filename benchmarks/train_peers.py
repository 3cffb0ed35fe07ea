"""The training loops that ours is measured against, as their users write them: eager, fp32, channels first."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from convsmith.data.loaders import decode_all
from convsmith.nets.network import Network
from convsmith.nets.weights.peers import Library, make_peer, names_of
from convsmith.training.engine import cores
from convsmith.work.prepare import Plan, make_model
from pictures import Transformed, reader

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Peer:
    """A loop: the model, what it minimizes and how; `batches` are those of an epoch."""

    model: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Callable[[], Batches]
    device: str

    def step(self, images: Tensor, labels: Tensor) -> float:
        """One step; its loss, which these loops print."""
        loss = self.loss(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def steps(self) -> Iterator[int]:
        """Steps without end; each gives the number of its images."""
        while True:
            for images, labels in self.batches():
                self.step(images.to(self.device), labels.to(self.device))
                yield len(labels)


@dataclass(frozen=True)
class KerasPeer:
    """A model of Keras, compiled in its sense, and the one batch that it trains on."""

    model: Any
    images: np.ndarray
    labels: np.ndarray

    def steps(self) -> Iterator[int]:
        """Steps without end; each gives the number of its images."""
        while True:
            self.model.train_on_batch(self.images, self.labels)
            yield len(self.labels)


def plain(plan: Plan, decoded: bool) -> Peer:
    """What a tutorial writes: crops and flips by torchvision's transforms in a `DataLoader` of 2 workers.

    The images are arrays in memory where they are `decoded`, else each is decoded whenever it is read.
    """
    data, recipe = plan.dataset, plan.recipe
    transform = transforms.Compose(
        [
            transforms.RandomCrop(data.preprocess.size[0], padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(data.preprocess.mean, data.preprocess.std),
        ]
    )
    read = in_memory(plan) if decoded else reader(data.train)
    images = Transformed(read, data.train.labels, transform)
    loader = DataLoader(images, recipe.batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    model = make_model(plan, []).to(plan.engine.device).train()
    rate = recipe.optimizer
    optimizer = torch.optim.SGD(
        model.parameters(), rate.lr, rate.momentum, nesterov=rate.nesterov, weight_decay=rate.weight_decay
    )
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    return Peer(model, loss, optimizer, lambda: loader, plan.engine.device)


def torchvision(plan: Plan) -> Peer:
    """torchvision's network by SGD on one batch that lies ready: no loader at all."""
    recipe, device = plan.recipe, plan.engine.device
    model = with_our_weights("torchvision", plan).to(device).train()
    rate = recipe.optimizer
    optimizer = torch.optim.SGD(model.parameters(), rate.lr, rate.momentum, weight_decay=rate.weight_decay)
    shape = (recipe.batch, plan.dataset.preprocess.channels, *plan.dataset.preprocess.size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    labels = (torch.arange(recipe.batch) % len(plan.dataset.card.classes)).to(device)
    return Peer(model, nn.CrossEntropyLoss(), optimizer, lambda: [(images, labels)], device)


def keras(plan: Plan) -> KerasPeer:
    """Keras's ResNet-50 on torch, by `train_on_batch` with SGD on one batch that lies ready; weights of its own."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    library = import_module("keras")
    recipe, side = plan.recipe, plan.dataset.preprocess.size
    model = library.applications.ResNet50(
        weights=None, input_shape=(*side, plan.dataset.preprocess.channels), classes=len(plan.dataset.card.classes)
    )
    rate = recipe.optimizer
    optimizer = library.optimizers.SGD(rate.lr, momentum=rate.momentum, weight_decay=rate.weight_decay)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    images = np.random.default_rng(0).standard_normal((recipe.batch, *model.input_shape[1:]), dtype=np.float32)
    return KerasPeer(model, images, np.arange(recipe.batch) % model.output_shape[1])


def timm(plan: Plan, files: Path | None) -> Peer:
    """What timm's train.py puts together by default, here from the parts of the package that it is made of.

    `create_loader` with random resized crops of either interpolation, flips and jitter of 0.4, normalization in its
    prefetcher; its SGD without weight decay on norms and biases, at 0.1 for 256 images; smoothed cross entropy. Unlike
    there it has as many workers as there are cores, 4 at most. Images come from `files` by `create_dataset`, or from
    arrays.
    """
    from timm.data import create_dataset, create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2

    recipe, data, device = plan.recipe, plan.dataset, plan.engine.device
    if files is None:
        images: Any = Transformed(in_memory(plan), data.train.labels, transforms.Compose([]))
    else:
        images = create_dataset("", root=str(files), split="train", is_training=True, batch_size=recipe.batch)
    loader = create_loader(
        images,
        input_size=(data.preprocess.channels, *data.preprocess.size),
        batch_size=recipe.batch,
        is_training=True,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        color_jitter=0.4,
        interpolation="random",
        num_workers=min(4, cores()),
        device=torch.device(device),
    )
    model = with_our_weights("timm", plan).to(device).train()
    rate = recipe.optimizer
    optimizer = create_optimizer_v2(model, "sgd", rate.lr, rate.weight_decay, rate.momentum)
    return Peer(model, LabelSmoothingCrossEntropy(recipe.label_smoothing), optimizer, lambda: loader, device)


def in_memory(plan: Plan) -> Callable[[int], Image.Image]:
    """The training images decoded once."""
    stack = decode_all(plan.dataset.train, plan.dataset.preprocess, cores()).permute(0, 2, 3, 1)
    arrays = np.ascontiguousarray(stack.numpy())
    return lambda i: Image.fromarray(arrays[i])


def with_our_weights(library: Library, plan: Plan) -> nn.Module:
    """The library's network with the weights that ours begins with."""
    network = plan.network
    if not isinstance(network, Network):
        raise SystemExit(f"{plan.recipe.network}: expected a network of the zoo")
    name, ours = plan.recipe.network, make_model(plan, []).state_dict()
    peer = make_peer(library, name, classes=network.classes, device="cpu")
    pairs = names_of(library, name)
    peer.load_state_dict({key: ours[pairs[key]].reshape(like.shape) for key, like in peer.state_dict().items()})
    return peer
