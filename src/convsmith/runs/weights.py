"""Tensors in files: safetensors bytes and the bundle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from convsmith.base.errors import BadFile, MissingPath, UsageError, WrongType
from convsmith.base.files import read_regular, write_bytes, writing
from convsmith.runs.sealed import seal
from convsmith.runs.trained import BUNDLE_FORMAT, BUNDLE_KEY, LONGEST_HEADER, MOST_TENSORS, unsealed


def encode(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Safetensors bytes; values and dtypes are kept, strides and shared memory are not (each name has its own)."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise WrongType(f"{name}: expected a tensor, received {type(tensor).__name__}")
    try:
        return safetensors.torch.save(_separate(tensors), metadata)
    except (SafetensorError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        kinds = sorted({f"{t.dtype} {t.layout} on {t.device}" for t in tensors.values()})
        raise UsageError(
            f"expected dense tensors of dtypes that safetensors knows; received {', '.join(kinds)} ({error})"
        ) from error


def decode(data: bytes) -> dict[str, Tensor]:
    """The tensors of safetensors bytes on the CPU, sorted by name; ValueError where the bytes are none."""
    _check_header(data)
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:
        # The reader checks hostile headers with errors of many types.
        raise ValueError(f"expected a whole safetensors file ({error})") from None
    return dict(sorted(tensors.items()))


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of another program's weight file, by name, as `weight_files.open_weights` chooses them."""
    from convsmith.runs.weight_files import open_weights  # which reads safetensors by what is here

    return open_weights(path).tensors


def save_bundle(path: str | Path, model: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """One safetensors file with weights and, as JSON in its metadata, all that is needed to use them; written whole."""
    path = Path(path)
    body = _body(encode(model))
    try:
        text = seal({"format": BUNDLE_FORMAT, **metadata, "weights_sha256": hashlib.sha256(body).hexdigest()})
    except (TypeError, ValueError) as error:
        raise WrongType(f"metadata of {path}: expected data that JSON can hold ({error})") from None
    with writing(path):
        write_bytes(path, encode(model, {BUNDLE_KEY: text}))


def load_bundle(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and the metadata of a bundle, verified by their hashes; MissingPath or BadFile."""
    path = Path(path)
    data = read_file(path)
    try:
        tensors = decode(data)
    except ValueError as error:
        raise BadFile(path, f"{error}; fetch or export the bundle again") from None
    text = (_header(data).get("__metadata__") or {}).get(BUNDLE_KEY)
    if text is None:
        raise BadFile(path, "holds weights but no description of their network; give it as --weights, with a network")
    metadata = unsealed(path, text)
    if metadata.pop("weights_sha256", None) != hashlib.sha256(_body(data)).hexdigest():
        raise BadFile(path, "the weights differ from the SHA-256 in the bundle; fetch or export it again")
    return tensors, metadata


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, none in the memory of another: what safetensors accepts."""
    separate: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        dense = tensor.detach().to("cpu").resolve_conj().resolve_neg().contiguous()
        storage = dense.untyped_storage()
        if storage.nbytes() != dense.numel() * dense.element_size() or storage.data_ptr() in seen:
            dense = dense.clone(memory_format=torch.contiguous_format)
        seen.add(dense.untyped_storage().data_ptr())
        separate[name] = dense
    return separate


def read_file(path: Path) -> bytes:
    """The content of a weight file; MissingPath or BadFile."""
    try:
        return read_regular(path)
    except FileNotFoundError:
        raise MissingPath(f"{path}: no such file; expected a file with weights") from None
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror or error}); expected a file with weights") from error


def _header(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _check_header(data: bytes) -> None:
    """Raise ValueError for a header that is larger than any network's, before a tensor is made for each name."""
    length = int.from_bytes(data[:8], "little")
    if LONGEST_HEADER < length <= len(data):
        raise ValueError(f"expected a header of at most {LONGEST_HEADER:,} bytes, received {length:,}")
    names = data[8 : 8 + length].count(b'"data_offsets"')
    if names > MOST_TENSORS:
        raise ValueError(f"expected at most {MOST_TENSORS:,} tensors, received {names:,}")


def _body(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]
