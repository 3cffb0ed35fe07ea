"""Turns pictures in the forms of Python programs (paths, bytes, images, arrays) into those that `predict` reads."""

import base64
import binascii
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image

from convsmith.base.errors import UsageError
from convsmith.deploy.predict import Picture, expand

KINDS = (
    "a path, bytes, an open binary file, a Pillow image, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), a tensor "
    "(C, H, W), or a list of these"
)
_DATA_URI = "data:image/"


def pictures_of(given: Any) -> list[Picture]:
    """The pictures in `given`, one or many. A folder or a pattern stands for the files in it.

    Arrays and tensors hold whole numbers from 0 to 255 or floating-point numbers from 0 to 1. An array (N, H, W, C) or
    a tensor (N, C, H, W) holds N pictures. Raises UsageError for other objects, shapes and values.
    """
    if _is_one(given):
        return _one(given, "the picture")
    if not isinstance(given, Iterable) or isinstance(given, dict):
        raise UsageError(f"expected {KINDS}; received {_type(given)}")
    return [picture for number, item in enumerate(given) for picture in _one(item, f"picture {number}")]


def _is_one(given: Any) -> bool:
    if isinstance(given, np.ndarray | torch.Tensor):
        return given.ndim != 4
    return isinstance(given, str | bytes | bytearray | memoryview | os.PathLike | Image.Image) or hasattr(given, "read")


def _one(item: Any, name: str) -> list[Picture]:
    """The pictures of one item: a path may be a folder or a pattern. `name` is for errors."""
    if isinstance(item, str) and item.startswith(_DATA_URI):
        return [_from_uri(item, name)]
    if isinstance(item, str | os.PathLike):
        return list(expand([os.fspath(item)]))
    if isinstance(item, bytes | bytearray | memoryview):
        return [bytes(item)]
    if hasattr(item, "read"):
        return [_from_file(item, name)]
    if isinstance(item, Image.Image):
        return [item]
    if isinstance(item, torch.Tensor):
        return [_array(_last(item.detach().cpu(), name), name)]
    if isinstance(item, np.ndarray):
        return [_array(item, name)]
    raise UsageError(f"{name}: expected {KINDS}; received {_type(item)}")


def _from_uri(text: str, name: str) -> bytes:
    head, _, body = text.partition(",")
    try:
        return base64.b64decode(body if head.endswith(";base64") else "", validate=True)
    except binascii.Error as error:
        raise UsageError(f"{name}: the data URI is no base64 ({error})") from None


def _from_file(file: Any, name: str) -> bytes:
    content = file.read()
    if not isinstance(content, bytes | bytearray):
        raise UsageError(f"{name}: expected a file opened in binary mode (open(path, 'rb')), received text")
    return bytes(content)


def _last(tensor: torch.Tensor, name: str) -> np.ndarray:
    """A tensor (C, H, W) or (H, W) as an array (H, W, C) or (H, W)."""
    if tensor.ndim == 3:
        if tensor.shape[0] not in (1, 3, 4):
            raise UsageError(f"{name}: expected a tensor (C, H, W) of 1, 3 or 4 channels, received {_shape(tensor)}")
        tensor = tensor.permute(1, 2, 0)
    return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()


def _array(array: np.ndarray, name: str) -> Picture:
    """An array as uint8 (H, W), (H, W, 1) or (H, W, 3); one with four channels as an RGBA image."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        swapped = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        mend = "; mend with array.transpose(1, 2, 0)" if swapped and array.size else ""
        raise UsageError(
            f"{name}: expected an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), received {_shape(array)}{mend}"
        )
    values = _bytes(array, name)
    return Image.fromarray(values, "RGBA") if values.ndim == 3 and values.shape[2] == 4 else values


def _bytes(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise UsageError(f"{name}: expected numbers, received an array of {array.dtype}")
    low, high = float(array.min()), float(array.max())
    most = 1 if array.dtype.kind == "f" else 255
    if not (low >= 0 and high <= most):  # a NaN is refused here too
        raise UsageError(
            f"{name}: expected {'floating-point numbers from 0 to 1' if most == 1 else 'whole numbers from 0 to 255'}, "
            f"received {array.dtype} from {low:g} to {high:g}; a picture that is normalized already goes to the module"
        )
    return np.rint(array * 255).astype(np.uint8) if most == 1 else array.astype(np.uint8)


def _shape(array: np.ndarray | torch.Tensor) -> str:
    return f"shape {tuple(array.shape)}"


def _type(given: Any) -> str:
    return f"a {type(given).__name__}" if given is not None else "None"
