"""Pictures in every form that a program has them in."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convsmith as cs
from convsmith.base.errors import MissingPath, UsageError
from convsmith.deploy.given import pictures_of


@pytest.fixture(scope="module")
def run(photo_run) -> cs.Run:
    return cs.load(photo_run[0])


@pytest.fixture(scope="module")
def file(photo_run) -> Path:
    return sorted(photo_run[1].rglob("*.png"))[3]


def forms(file: Path) -> dict[str, object]:
    """The same picture in every form."""
    content, image = file.read_bytes(), Image.open(file).convert("RGB")
    pixels = np.array(image)
    uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return {
        "str": str(file),
        "Path": file,
        "bytes": content,
        "bytearray": bytearray(content),
        "memoryview": memoryview(content),
        "BytesIO": io.BytesIO(content),
        "data URI": uri,
        "Pillow image": image,
        "uint8 (H, W, 3)": pixels,
        "float32 (H, W, 3)": (pixels / 255).astype(np.float32),
        "float64 (H, W, 3)": pixels / 255,
        "int64 (H, W, 3)": pixels.astype(np.int64),
        "read-only": np.asarray(image),
        "Fortran order": np.asfortranarray(pixels),
        "(H, W, 4)": np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]),
        "tensor uint8 (3, H, W)": torch.from_numpy(pixels).permute(2, 0, 1),
        "tensor float (3, H, W)": torch.from_numpy(pixels).permute(2, 0, 1) / 255,
        "tensor with a gradient": (torch.from_numpy(pixels).permute(2, 0, 1) / 255).requires_grad_(),
        "(1, H, W, 3)": pixels[None],
        "tensor (1, 3, H, W)": torch.from_numpy(pixels).permute(2, 0, 1)[None],
    }  # fmt: skip


@pytest.mark.parametrize("form", [
    "str", "Path", "bytes", "bytearray", "memoryview", "BytesIO", "data URI", "Pillow image", "uint8 (H, W, 3)",
    "float32 (H, W, 3)", "float64 (H, W, 3)", "int64 (H, W, 3)", "read-only", "Fortran order", "(H, W, 4)",
    "tensor uint8 (3, H, W)", "tensor float (3, H, W)", "tensor with a gradient", "(1, H, W, 3)",
    "tensor (1, 3, H, W)",
])  # fmt: skip
def test_every_form_has_the_same_answer(form, run, file):
    expected = run.predict(str(file))[0].top
    (found,) = run.predict(forms(file)[form])
    assert found.top == expected


def test_an_open_file(run, file):
    with open(file, "rb") as opened:
        assert run.predict(opened)[0].top == run.predict(file)[0].top


@pytest.mark.parametrize("several", [list, tuple, iter, lambda items: (item for item in items)])
def test_many_at_once(several, run, file):
    given = [file, file.read_bytes(), Image.open(file), np.array(Image.open(file)), file.parent]
    found = run.predict(several(given))
    assert len(found) == 4 + len(list(file.parent.iterdir()))
    assert len({p.top for p in found[:4]}) == 1
    assert found[0].probability == pytest.approx(run.predict(file)[0].probability, abs=1e-6)
    assert run.predict([]) == []


@pytest.mark.parametrize("shape", [(12, 12), (12, 12, 1)])
def test_gray(shape, run):
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    expected = run.predict(np.repeat(pixels.reshape(12, 12, 1), 3, axis=2))[0].top
    assert run.predict(pixels)[0].top == expected
    assert run.predict(torch.from_numpy(pixels.reshape(12, 12)))[0].top == expected
    assert run.predict(pixels.reshape(12, 12) / 255.0)[0].top == expected
    assert run.predict(pixels > 300)[0].top == run.predict(np.zeros((12, 12), np.uint8))[0].top


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "expected a path, bytes, .* received None"),
        (3, "received a int"),
        ({"file": "x.png"}, "received a dict"),
        ([None], "picture 0: expected .* received None"),
        ([np.zeros((4, 4), np.uint8), {}], "picture 1: expected .* received a dict"),
        (io.StringIO("text"), "expected a file opened in binary mode"),
        (np.zeros((3, 8, 8), np.uint8), r"received shape \(3, 8, 8\); mend with array.transpose\(1, 2, 0\)"),
        (np.zeros((8, 8, 5), np.uint8), r"received shape \(8, 8, 5\)$"),
        (np.zeros((0, 8, 3), np.uint8), r"received shape \(0, 8, 3\)$"),
        (np.zeros(8, np.uint8), r"received shape \(8,\)$"),
        (torch.zeros(8, 8, 3), r"expected a tensor \(C, H, W\) of 1, 3 or 4 channels, received shape \(8, 8, 3\)"),
        (np.full((8, 8), 2.0), "floating-point numbers from 0 to 1, received float64 from 2 to 2"),
        (np.full((8, 8), np.nan), "floating-point numbers from 0 to 1"),
        (np.full((8, 8), 256), "whole numbers from 0 to 255, received int64 from 256 to 256"),
        (np.full((8, 8), -1.0), "from -1 to -1; a picture that is normalized already goes to the module"),
        (np.array([["a"]]), "expected numbers, received an array of <U1"),
        ("data:image/png;base64,@@", "the data URI is no base64"),
        ("https://example.org/a.png", "is an address, and nothing is fetched that was not asked for"),
    ],
)
def test_what_is_no_picture(given, said, run):
    with pytest.raises(UsageError, match=said):
        run.predict(given)


def test_a_file_that_is_not_there(run):
    with pytest.raises(MissingPath, match="no such file, folder or match"):
        run.predict("nowhere.png")


def test_bytes_that_are_no_image_are_an_answer_among_the_others(run, file):
    first, second = run.predict([b"nothing", file])
    assert first.error is not None
    assert first.error.startswith("an image of 7 bytes: not an image")
    assert second.error is None


def test_halves():
    values = torch.rand(3, 4, 4)
    for kind in (torch.float16, torch.bfloat16):
        (found,) = pictures_of(values.to(kind))
        assert np.array_equal(found, np.rint(values.to(kind).float().permute(1, 2, 0).numpy() * 255))
