"""Cutout and random erasing: they cover a part of the image. Labels, masks and boxes do not change."""

import torch
from torch import Tensor

from convsmith.data import keys as counter
from convsmith.data.augment.frame import Frame
from convsmith.data.augment.geometry import corner, random_shapes
from convsmith.data.augmentations import Cutout, Erase


def cutout(images: Tensor, keys: Tensor, step: Cutout, frame: Frame) -> Tensor:
    """Cover a square around a random pixel of uint8 (N, C, H, W) with the frame's fill."""
    size, (height, width) = step.size, images.shape[2:]
    top = counter.integers(counter.fork(keys, 0), 0, height) - size // 2
    left = counter.integers(counter.fork(keys, 1), 0, width) - size // 2
    inside = rectangles(top, left, top + size, left + size, (height, width))
    return torch.where(inside, frame.fill.view(1, -1, 1, 1), images)


def erase(images: Tensor, keys: Tensor, step: Erase, frame: Frame) -> Tensor:
    """Cover a random rectangle inside uint8 (N, C, H, W) with the frame's fill or with random pixels."""
    height, width = images.shape[2:]
    tall, wide = random_shapes(counter.fork(keys, 0), (height, width), step.low, step.high, step.aspect)
    top = corner(counter.fork(keys, 1), height - tall)
    left = corner(counter.fork(keys, 2), width - wide)
    inside = rectangles(top, left, top + tall, left + wide, (height, width))
    inside &= (counter.uniform(counter.fork(keys, 3)) < step.probability).view(-1, 1, 1, 1)
    cover = frame.fill.view(1, -1, 1, 1)
    if step.fill == "noise":
        cover = counter.words(counter.fork(keys, 4), images[0].numel()).view(images.shape).to(torch.uint8)
    return torch.where(inside, cover, images)


def rectangles(top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, size: tuple[int, int]) -> Tensor:
    """Rectangles, bool (N, 1, H, W): from `top` to below `bottom` and from `left` to below `right`, each int64 (N)."""
    y = torch.arange(size[0], device=top.device)
    x = torch.arange(size[1], device=top.device)
    rows = (y >= top[:, None]) & (y < bottom[:, None])
    columns = (x >= left[:, None]) & (x < right[:, None])
    return (rows[:, :, None] & columns[:, None, :])[:, None]
