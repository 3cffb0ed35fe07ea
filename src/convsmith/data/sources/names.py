"""Names: of the sets that are known by name, and of the classes of files that do not state them."""

import re

# As `--data` takes them; `opening.py` opens each.
SETS = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")
# What its recipes name as their data, which must be given as a folder.
IMAGENET = "imagenet"

DIGITS = tuple(str(digit) for digit in range(10))
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_KNOWN = {"mnist": DIGITS, "fashionmnist": FASHION, "cifar10": CIFAR10}


def class_names(name: str, count: int) -> tuple[str, ...]:
    """The names of `count` classes: those of the known set called `name`, else '0', '1', ..."""
    known = _KNOWN.get(re.sub(r"[^a-z0-9]", "", name.lower()), ())
    if len(known) >= count and count > len(known) // 2:
        return known
    return tuple(str(label) for label in range(count))
