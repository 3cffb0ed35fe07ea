"""The images of benchmarks: parts of a photograph, files of them, and examples as users of torchvision read them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image
from torch.utils.data import Dataset

from convsmith.data.examples import Examples

WINDOW = 256  # pixels of the photograph that an image shows


def squares(count: int, side: int = 32) -> np.ndarray:
    """Different squares of a photograph, uint8 (count, side, side, 3)."""
    photo, step = load_sample_image("china.jpg"), max(1, WINDOW // side)
    corners = [(i * 7 % 160, i * 13 % 380) for i in range(count)]
    return np.stack([photo[y : y + side * step : step, x : x + side * step : step] for y, x in corners])


def write_file(folder: Path, number: int, image: Image.Image, label: int) -> None:
    """A JPEG file of quality 90 in the folder of its class."""
    place = folder / str(label) / f"{number}.jpg"
    place.parent.mkdir(parents=True, exist_ok=True)
    image.save(place, quality=90)


def reader(examples: Examples) -> Callable[[int], Image.Image]:
    """What decodes an example each time that it is asked for."""

    def read(i: int) -> Image.Image:
        found = examples.read(i)
        return (Image.fromarray(found) if isinstance(found, np.ndarray) else found).convert("RGB")

    return read


class Transformed(Dataset[Any]):
    """Images transformed one by one, as torchvision's documentation shows it."""

    def __init__(self, read: Callable[[int], Any], labels: Sequence[int] | np.ndarray, transform: Callable[..., Any]):
        self.read, self.labels, self.transform = read, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.transform(self.read(i)), int(self.labels[i])
