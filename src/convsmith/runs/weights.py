"""Tensors in files: safetensors bytes, weights of others, the bundle. Nothing but plain tensors is ever unpickled."""

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
from convsmith.base.files import write_bytes
from convsmith.runs.sealed import seal
from convsmith.runs.trained import BUNDLE_FORMAT, BUNDLE_KEY, LONGEST_HEADER, MOST_TENSORS, unsealed
from convsmith.runs.writing import writing

_TORCH_FILES = (".pt", ".pth", ".bin", ".th", ".tar", ".ckpt")
_WRAPPERS = ("state_dict", "model")


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
    """The tensors of someone else's weight file, by name.

    Reads `.safetensors`, and files of `torch.save` as far as they hold plain tensors: a `state_dict` or `model` key is
    unwrapped, a `module.` before all names is dropped. Raises MissingPath, or BadFile for everything else.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        data = _read(path)
        try:
            return decode(data)
        except ValueError as error:
            raise BadFile(path, f"{error}; fetch the file again") from None
    if path.suffix not in _TORCH_FILES:
        known = ", ".join((".safetensors", *_TORCH_FILES))
        _read(path)
        raise BadFile(path, f"expected a weight file ({known}), received {path.suffix or 'no suffix'}")
    return _strip(_unwrap(path, _load_torch(path)), "module.")


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
    data = _read(path)
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingPath(f"{path}: no such file; expected a file with weights") from None
    except OSError as error:
        raise BadFile(path, f"could not be read ({error.strerror or error}); expected a file with weights") from error


def _header(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _check_header(data: bytes) -> None:
    """ValueError for a header that no weights need: it is looked at before a tensor is made for each of its names."""
    length = int.from_bytes(data[:8], "little")
    if LONGEST_HEADER < length <= len(data):
        raise ValueError(f"expected a header of at most {LONGEST_HEADER:,} bytes, received {length:,}")
    names = data[8 : 8 + length].count(b'"data_offsets"')
    if names > MOST_TENSORS:
        raise ValueError(f"expected at most {MOST_TENSORS:,} tensors, received {names:,}")


def _body(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def _load_torch(path: Path) -> Any:
    if not path.exists() or path.is_dir():
        _read(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged pickles end in errors of any type; none of them may end in a less careful reader.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadFile(
            path,
            "expected plain tensors only; the file holds pickled objects, which could run code, or is damaged "
            f"({first[:160]}); mend: "
            "where you trust it, load it with its own program and save its state_dict with safetensors",
        ) from None


def _unwrap(path: Path, data: Any) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
            break
    if not isinstance(data, Mapping) or not data:
        raise BadFile(path, f"expected tensors by name, received {type(data).__name__}; save the state_dict instead")
    others = [str(name) for name, value in data.items() if not isinstance(value, Tensor)]
    if others:
        raise BadFile(
            path,
            f"expected tensors by name, perhaps under {' or '.join(_WRAPPERS)}; received other things under "
            f"{', '.join(others[:4])}; save the state_dict alone, with safetensors",
        )
    return {str(name): value.detach() for name, value in data.items()}


def _strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    if all(name.startswith(prefix) for name in tensors):
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
