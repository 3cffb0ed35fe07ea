"""Weight files of other programs: their kind, and which part holds the weights. Only tensors are ever unpickled."""

import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convsmith.base.errors import BadFile, unknown
from convsmith.runs.weights import decode, read_file

TORCH_FILES = (".pt", ".pth", ".bin", ".th", ".tar", ".ckpt")
# The names that training scripts give to the parts of a checkpoint. The weights come before their average.
PLAIN = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights", "params", "module")
AVERAGED = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "averaged")
# The first bytes of files that are not weight files, with the kind of the file and the mend.
_HEADS = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer and not the file that it stands for; mend with: git lfs pull",
    ),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a rar archive; unpack it first"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x89HDF", "an HDF5 file, as Keras writes it; only torch's and safetensors files are read"),
)
_PAGE = re.compile(rb"\s*(<!doctype|<html|<\?xml|<head|<body)", re.IGNORECASE)
_OBJECT = re.compile(r"(?:GLOBAL|global) ([A-Za-z_][\w.]*)")
_MEND = "with its own program: torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True)
class FileWeights:
    """The tensors of a file, by their names in it; `notes` say which of its parts they are."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def file_and_part(weights: str | Path) -> tuple[Path, str | None]:
    """The file and the part that `w.pth:state_dict_ema` names; a path that exists has no part, even with a colon."""
    path = Path(weights)
    file, colon, part = str(weights).rpartition(":")
    return (Path(file), part) if colon and file and part and not path.exists() else (path, None)


def open_weights(weights: str | Path) -> FileWeights:
    """The weights in a file of safetensors, or of `torch.save` if it holds plain tensors; `FILE:PART` names the part.

    Without a part, the first of PLAIN that is there is taken, else of AVERAGED, else any. Raises MissingPath, BadFile,
    and UnknownName for a part that is not there.
    """
    path, part = file_and_part(weights)
    data = _content(path)
    parts = dict(_parts(data))
    if part is not None:
        if part not in parts:
            raise unknown(f"part of {path}", part, [name for name in parts if name])
        return FileWeights(_detached(parts[part]), (f"the file's {part}",))
    if "" in parts:
        return FileWeights(_detached(parts[""]))
    if not parts:
        raise BadFile(path, f"expected tensors by name, {_received(data)}; mend {_MEND}")
    order = [*PLAIN, *AVERAGED]
    names = sorted(parts, key=lambda name: (*(order.index(n) if n in order else 99 for n in name.split(".")), name))
    others = [f"{path}:{name}" for name in names[1:]]
    said = f"; the file has more: --weights {' or '.join(others[:3])}" if others else ""
    return FileWeights(_detached(parts[names[0]]), (f"the file's {names[0]}{said}",))


def _content(path: Path) -> Any:
    """The tensors or the unpickled data of a file, whose format follows from its content."""
    if not path.is_file():
        read_file(path)  # says what it is
    if path.suffix not in (".safetensors", *TORCH_FILES):
        known = ", ".join((".safetensors", *TORCH_FILES))
        raise BadFile(path, f"expected a weight file ({known}), received {path.suffix or 'no suffix'}")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise BadFile(path, "expected weights, received an empty file (0 bytes); fetch it again")
    problem = _no_weights(path, head)
    if problem:
        raise BadFile(path, f"expected weights, received {problem}")
    # A torch file with the suffix of safetensors, or the reverse, is read by its content.
    if head[8:9] == b"{" or (path.suffix == ".safetensors" and not _is_torch(head)):
        try:
            return decode(read_file(path))
        except ValueError as error:
            raise BadFile(path, f"{error}; fetch the file again") from None
    return _load_torch(path)


def _is_torch(head: bytes) -> bool:
    return head[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")


def _no_weights(path: Path, head: bytes) -> str | None:
    """The kind of a file that holds no weights; None if it may hold weights."""
    for start, what in _HEADS:
        if head.startswith(start):
            return what
    if _PAGE.match(head):
        return "a web page (HTML): the address leads to a page and not to the file; download the file itself"
    if head[257:262] == b"ustar" and tarfile.is_tarfile(path):
        return "a tar archive; unpack it first"
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if not any(name.endswith("data.pkl") for name in names):
            inside = ", ".join(names[:3]) or "nothing"
            return f"a zip archive ({inside}{', ...' if len(names) > 3 else ''}); unpack it first"
    if head.lstrip()[:1] in (b"{", b"[") and head.isascii():
        return "JSON text"
    return None


def _load_torch(path: Path) -> Any:
    try:
        with path.open("rb") as file:  # given a path, torch would choose a format by the name
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged pickles raise errors of any type. None of them may lead to a reader that runs code.
        named = _OBJECT.search(str(error))
        if named:
            raise BadFile(
                path,
                f"holds pickled objects ({named[1]}) besides tensors, and such objects could run code, so it is not "
                f"read; if you trust it, mend {_MEND}",
            ) from None
        raise BadFile(
            path,
            "expected tensors of torch.save, received pickled objects, which could run code and are not read, or a "
            f"damaged file; fetch it again, or mend {_MEND}",
        ) from None


def _parts(data: Any, name: str = "", depth: int = 3) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every part of a checkpoint that holds only tensors by name, with its dotted name."""
    if not isinstance(data, Mapping) or not data or depth == 0:
        return
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in data.items()):
        yield name, data
        return
    for key, value in data.items():
        if isinstance(key, str) and not key.startswith("optim"):
            yield from _parts(value, f"{name}.{key}" if name else key, depth - 1)


def _received(data: Any) -> str:
    if isinstance(data, Mapping) and data:
        odd = [str(key) for key, value in data.items() if not isinstance(value, Tensor)]
        return f"received other things under {', '.join(odd[:4])}"
    return f"received {'nothing' if isinstance(data, Mapping) else f'a {type(data).__name__}'}"


def _detached(tensors: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value.detach() for name, value in tensors.items()}
