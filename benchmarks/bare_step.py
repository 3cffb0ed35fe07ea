"""A training step of a network on one batch: what the engine does, without loader and augmentation."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from convsmith.data.augment import normalize
from convsmith.data.preprocess import ImageInput
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.training.engine import Engine


def bare_step(engine: Engine, tree: Network, images: Tensor, record: ImageInput) -> Callable[[], None]:
    """The step on uint8 images (N, C, H, W), which lie on the engine's device."""
    model = engine.place(build(tree, seed=0)).train()
    engine.accelerate(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    targets = torch.arange(len(images), device=images.device) % tree.classes

    def step() -> None:
        inputs = normalize(images, record, memory_format=engine.memory_format)
        with engine.autocast():
            outputs = model(inputs)
        functional.cross_entropy(outputs.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
