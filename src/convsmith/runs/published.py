"""torchvision's published weights: looked up in its registry, fetched into the cache, checked, and never unpickled."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convsmith.base.errors import BadFile, UsageError, nearest, unknown
from convsmith.base.files import cache_folder, make_folder, sha256
from convsmith.data.preprocess import Preprocess
from convsmith.runs.weights import load_weights as read_weights

BEST = "DEFAULT"  # torchvision's name for the entry that it holds for the best
_ENTRY = re.compile(r"(?:\w+_Weights\.)?[A-Z][A-Z0-9_]*")
_DIGITS = re.compile(r"-([0-9a-f]{8,64})\.")
# Trained by other frameworks on values from -1 to 1; torchvision's own classes undo its usual normalisation for them
# (`transform_input`), plain networks do not.
_HALF = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class Published:
    """An entry of torchvision's registry: where its file is, how an image becomes its input, what its outputs mean."""

    name: str
    url: str
    preprocess: Preprocess
    labels: tuple[str, ...]

    @property
    def file(self) -> str:
        """The name of its file; the first digits of its SHA-256 stand in it."""
        return self.url.rpartition("/")[2]


def is_entry(text: str) -> bool:
    """Whether `text` names an entry of the registry (`DEFAULT`, `IMAGENET1K_V2`), and nothing that lies on the disk."""
    return bool(_ENTRY.fullmatch(text)) and not Path(text).exists()


def find_published(network: str, entry: str = BEST) -> Published:
    """The entry of torchvision's weights for the network that both call `network`.

    Raises `UsageError` for a network without weights, `UnknownName` for an entry that it has not.
    """
    from torchvision import models  # two seconds of imports, for those who name its weights

    if network not in models.list_models(module=models):
        near = nearest(network, models.list_models(module=models), 3)
        hint = f" (it has some for {', '.join(near)})" if near else ""
        raise UsageError(f"torchvision has no weights for {network!r}{hint}; give a file with --weights")
    entries: Any = models.get_model_weights(network)
    # An entry without classes is for its features alone, its last layers are empty.
    known = {found.name: found for found in entries if found.meta.get("categories")}
    known[BEST] = entries.DEFAULT
    name = entry.rpartition(".")[2]
    if name not in known:
        raise unknown(f"weights of {network}", name, known)
    found = known[name]
    return Published(str(found), found.url, _preprocess(network, found), tuple(found.meta["categories"]))


def fetch(published: Published) -> tuple[Path, str]:
    """The file of an entry in the cache, downloaded where it is not there yet, and its SHA-256.

    torchvision publishes only the first 8 or 10 hexadecimal digits of it, in the file's name; those are compared, at
    each call. A file that is not what it should be never takes its name.
    """
    path = cache_folder() / "torchvision" / published.file
    digits = _DIGITS.search(published.file)
    if not path.exists():
        _download(published.url, path, digits[1] if digits else None)
    found = sha256(path)
    if digits and not found.startswith(digits[1]):
        raise BadFile(
            path, f"its SHA-256 begins with {found[:8]}, its name says {digits[1]}; delete it to have it fetched again"
        )
    return path, found


def read_published(published: Published) -> tuple[dict[str, Tensor], str]:
    """The tensors of an entry, by torchvision's names, and the SHA-256 of their file."""
    path, found = fetch(published)
    return read_weights(path), found


def _preprocess(network: str, entry: Any) -> Preprocess:
    """The record of what an entry's own transformation does."""
    does = entry.transforms()
    half = (0.5,) * len(does.mean)
    return Preprocess(
        resize=does.resize_size[0],
        size=(does.crop_size[0], does.crop_size[0]),
        interpolation=does.interpolation.value,
        mean=half if network in _HALF else tuple(does.mean),
        std=half if network in _HALF else tuple(does.std),
    )


def _download(url: str, path: Path, digits: str | None) -> None:
    make_folder(path.parent)
    try:
        # Written beside the goal, compared, renamed.
        torch.hub.download_url_to_file(url, str(path), digits, progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise BadFile(
            path, f"could not be downloaded from {url} ({reason}); fetch {path.name} elsewhere and put it there"
        ) from None
