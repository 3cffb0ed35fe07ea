"""The preprocessing record and its reference implementation, by known pixel values."""

import io
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError
from convsmith.data.decoding import decode_stack, find_bad, measure
from convsmith.data.examples import Examples, from_arrays
from convsmith.data.image_sets import FileImages
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput, decode, load, normalize, preprocess_for, to_size
from convsmith.data.sources.opening import open_source
from convsmith.data.targets import ClassLabels

RGB = ImageInput(size=(4, 4), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
GRAY = ImageInput(size=(4, 4), mode="L", mean=(0.5,), std=(0.5,))
RED, GREEN = (255, 0, 0), (0, 255, 0)


def pixel(image: Image.Image, record: ImageInput = RGB) -> list[int]:
    """The top left pixel after decoding."""
    return decode(image, record)[0, 0].tolist()


def test_every_mode_has_known_values() -> None:
    new = Image.new
    assert pixel(new("RGB", (2, 2), (1, 2, 3))) == [1, 2, 3]
    assert pixel(new("L", (2, 2), 77)) == [77, 77, 77]
    assert pixel(new("1", (2, 2), 1)) == [255, 255, 255]
    assert pixel(new("1", (2, 2), 1), GRAY) == [255]
    assert pixel(new("RGBA", (2, 2), (*RED, 255))) == [255, 0, 0]
    assert pixel(new("RGBA", (2, 2), (*RED, 0))) == [255, 255, 255], "transparent is white"
    assert pixel(new("RGBA", (2, 2), (0, 0, 0, 51))) == [204, 204, 204], "a fifth of black on white"
    assert pixel(new("LA", (2, 2), (100, 0)), GRAY) == [255]
    assert pixel(new("LA", (2, 2), (100, 255)), GRAY) == [100]
    assert pixel(new("CMYK", (2, 2), (0, 255, 255, 0))) == [255, 0, 0]
    assert pixel(new("YCbCr", (2, 2), (128, 128, 128))) == [128, 128, 128]
    assert pixel(new("RGB", (2, 2), RED), GRAY) == [76], "ITU-R 601-2: 0.299 of red"
    palette = new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert pixel(palette) == [9, 8, 7]
    palette.info["transparency"] = 1
    assert pixel(palette) == [255, 255, 255]


def test_sixteen_bits_are_divided_by_257(png: Callable[..., bytes]) -> None:
    values = np.asarray([[0, 257, 65535], [128, 129, 32896]], dtype=np.uint16)
    expected = [[0, 1, 255], [0, 1, 128]]
    assert decode(png(values), GRAY)[..., 0].tolist() == expected
    assert decode(png(values, "TIFF"), GRAY)[..., 0].tolist() == expected
    assert decode(Image.fromarray(values.astype(np.int32)), GRAY)[..., 0].tolist() == expected


def test_ranges_that_are_not_known_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(np.full((2, 2), 70000, np.int32)).save(path)
    with pytest.raises(BadFile, match=r"x\.tif: cannot be converted to RGB \(expected 16-bit values, found 70000"):
        decode(path, RGB)
    Image.fromarray(np.ones((2, 2), np.float32)).save(path)
    with pytest.raises(BadFile, match=r"x\.tif: cannot be converted to RGB \(pixels are floating-point"):
        decode(path, RGB)


def test_transparent_color_of_a_png(png: Callable[..., bytes]) -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[1] = GREEN
    data = png(image, transparency=(0, 0, 0))
    assert decode(data, RGB)[:, 0].tolist() == [[255, 255, 255], [0, 255, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_images_upright(orientation: int) -> None:
    # F is told from every turned or mirrored copy of itself; blocks of 8 survive JPEG.
    upright = np.kron(np.asarray([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]]), np.ones((8, 8))) * 255
    stored = {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored).astype(np.uint8)).save(buffer, "JPEG", exif=exif, quality=95)
    found = decode(buffer.getvalue(), GRAY)[..., 0]
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() < 20
    as_stored = decode(buffer.getvalue(), replace(GRAY, exif=False))[..., 0]
    assert np.abs(as_stored.astype(int) - stored).max() < 20


def test_the_first_frame_of_an_animation() -> None:
    for kind in ("GIF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN)]
        extra = {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **extra)
        assert decode(buffer.getvalue(), RGB)[0, 0].tolist() == [255, 0, 0]


def test_broken_files_are_named(tmp_path: Path, png: Callable[..., bytes]) -> None:
    whole = png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), "JPEG")
    path = tmp_path / "photo.jpg"

    def failing(data: bytes) -> str:
        path.write_bytes(data)
        with pytest.raises(BadFile) as caught:
            decode(path, RGB)
        assert str(caught.value).startswith(f"{path}: ")
        return str(caught.value)

    assert "the image is cut short or damaged" in failing(whole[: len(whole) // 2])
    assert "the file is empty (0 bytes)" in failing(b"")
    assert "not an image that can be read" in failing(b"GIF? no")
    assert "not an image that can be read" in failing(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(MissingPath, match=r"no such file: .*none\.jpg"):
        decode(tmp_path / "none.jpg", RGB)
    with pytest.raises(MissingPath, match="no such file"):
        decode(str(tmp_path / "none.jpg"), RGB)
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(BadFile, match="cannot be read"):
        decode(tmp_path / "folder.jpg", RGB)


def test_any_cut_of_a_file_is_a_bad_file_or_an_image(png: Callable[..., bytes]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        data = png(image, kind)
        for length in range(1, len(data), 23):
            try:
                decode(data[:length], RGB)
            except BadFile:
                continue


def test_damage_anywhere_is_a_bad_file_or_an_image(png: Callable[..., bytes]) -> None:
    # Warnings are errors here, so this reads too that none of Pillow's comes through.
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        whole = np.frombuffer(
            png(image, kind, **({"exif": exif} if kind in ("JPEG", "WEBP", "TIFF") else {})), np.uint8
        )
        for _ in range(150):
            data = whole.copy()
            data[random.integers(0, min(len(data), 400), 3)] = random.integers(0, 256, 3)
            try:
                decode(data.tobytes(), RGB)
            except BadFile:
                continue


def test_bombs_are_refused_and_large_photographs_are_not() -> None:
    def bmp(width: int, height: int) -> bytes:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info

    with pytest.raises(BadFile, match=r"has 20,000x20,000 pixels .* more than 512.0 MiB; .* --max-megapixels 400,"):
        decode(bmp(20_000, 20_000), RGB)
    # Pillow warns above 89 Mpx; here only the missing pixels are the fault.
    with pytest.raises(BadFile, match="cut short"):
        decode(bmp(10_000, 10_000), RGB)


def test_arrays_are_taken_as_they_are() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(decode(image, RGB), image)
    assert decode(image[..., 0], RGB).shape == (2, 2, 3)
    assert decode(image[..., :1], GRAY).shape == (2, 2, 1)
    expected = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(decode(image, GRAY)[..., 0], expected)
    for wrong in (image.astype(np.float32), image[..., :2], image[None]):
        with pytest.raises(UsageError, match=r"expected uint8 .* received"):
            decode(wrong, RGB)


def test_the_right_size_is_never_resampled() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    assert to_size(image, RGB).tobytes() == image.tobytes()
    wide = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_size(wide, replace(RGB, resize=6)), wide[1:5, 2:6])
    np.testing.assert_array_equal(to_size(wide, replace(RGB, resize=6), margin=True), wide[:, 2:8])


@pytest.mark.parametrize(("height", "width"), [(300, 200), (200, 300), (97, 131), (20, 500), (256, 256), (30, 20)])
def test_sizes_follow_torchvision(height: int, width: int) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    record = replace(RGB, resize=64, size=(56, 56))
    peer = v2.Compose([v2.Resize(64), v2.CenterCrop(56)])(Image.fromarray(image))
    np.testing.assert_array_equal(to_size(image, record), np.asarray(peer))
    assert to_size(image, record, margin=True).shape == (64, 64, 3)


def test_another_size_covers_the_goal() -> None:
    image = np.full((10, 40, 3), 7, np.uint8)
    found = to_size(image, RGB)
    assert found.shape == (4, 4, 3)
    assert (found == 7).all()
    assert to_size(np.zeros((2, 3, 1), np.uint8), replace(GRAY, size=(5, 4))).shape == (5, 4, 1)


def test_normalize_values() -> None:
    image = np.full((4, 4, 3), 255, np.uint8)
    found = load(image, RGB)
    assert found.dtype == np.float32
    assert found.shape == (3, 4, 4)
    assert found[:, 0, 0].tolist() == [1.0, 3.0, 1.0]
    assert normalize(np.zeros((1, 1, 1), np.uint8), GRAY).item() == -1.0


def test_the_record_goes_to_json_and_back() -> None:
    record = replace(RGB, resize=9, interpolation="bicubic")
    assert ImageInput.from_json(json.loads(json.dumps(record.to_json()))) == record
    with pytest.raises(UnknownName, match="unknown key in preprocessing 'men'; nearest: mean"):
        ImageInput.from_json({**record.to_json(), "men": 1})
    with pytest.raises(UsageError, match="preprocessing: image_input needs size, mean, std"):
        ImageInput.from_json({})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "this convsmith knows version 1 of the record, received 2"),
        ({"size": (4,)}, "expected a size of (height, width), received (4,)"),
        ({"resize": 3}, "resize 3 is smaller than the crop (4, 4)"),
        ({"mean": (0.5,)}, "mode RGB needs 3 means and as many deviations"),
        ({"std": (0.5, 0.0, 1.0)}, "preprocessing.std[1]: expected a number above 0, received 0.0"),
        ({"antialias": False}, "antialias cannot be false"),
        ({"mean": (0.5, float("nan"), 0.5)}, "preprocessing.mean[1]: expected a finite number, received nan"),
        ({"std": (0.5, float("inf"), 0.5)}, "preprocessing.std[1]: expected a number above 0, received inf"),
        ({"fit": "stretch"}, "unknown value for preprocessing.fit: 'stretch'; known: crop, pad, squash"),
        ({"fit": "pad", "resize": 9}, "resize is for fit crop, received 9 with fit pad"),
        ({"resize": (9, 3)}, "resize (9, 3) is smaller than the crop (4, 4)"),
        ({"resize": (9, 9, 9)}, "expected resize to be a number or (height, width), received (9, 9, 9)"),
        ({"resize": 10**9}, "at most 65535 pixels a side"),
        ({"size": (65_535, 65_535)}, "and 16,777,216 in all"),
    ],
)
def test_wrong_records_are_refused(change: dict, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(RGB, **change)
    assert says in str(caught.value)


def test_the_record_that_fits_a_set() -> None:
    card = open_source(DataOptions()).card
    one, three = ((0.5,), (0.5,)), ((0.5,) * 3, (0.5,) * 3)
    found = preprocess_for(card, DataOptions(), one)
    assert (found.mode, found.resize, found.size) == ("L", None, (8, 8))
    found = preprocess_for(card, DataOptions(size=32, channels=3), three)
    assert (found.mode, found.resize, found.size) == ("RGB", 32, (32, 32))
    assert preprocess_for(card, DataOptions(size=8), one).resize is None
    varying = replace(card, size=None, channels=3)
    found = preprocess_for(varying, DataOptions(), three)
    assert (found.resize, found.size) == (256, (224, 224))
    found = preprocess_for(varying, DataOptions(size=96), three)
    assert (found.resize, found.size) == (110, (96, 96))
    found = preprocess_for(varying, DataOptions(size="32x128"), three)
    assert (found.resize, found.size) == ((37, 148), (32, 128))
    found = preprocess_for(replace(card, size=(32, 128)), DataOptions(size="16x64"), one)
    assert (found.resize, found.size) == ((16, 64), (16, 64))
    for fit in ("pad", "squash"):
        found = preprocess_for(varying, DataOptions(size="32x128", fit=fit), three)
        assert (found.resize, found.size, found.fit) == (None, (32, 128), fit)
    wide = preprocess_for(replace(card, size=(6, 5)), DataOptions(), one)
    assert (wide.resize, wide.size) == (None, (6, 5))


def test_mean_and_std_of_known_values() -> None:
    images = np.zeros((4, 4, 4, 3), np.uint8)
    images[:2, ..., 0] = 255
    images[..., 1] = 51
    found = measure(from_arrays(images, np.zeros(4), "x"), RGB, 1)
    assert found.mean == (0.5, 0.2, 0.0)
    # A channel of one value is only centered: divided by its own deviation another image would be out of all bounds.
    assert found.std == (0.5, 1.0, 1.0)
    assert found.warnings == ("the training images have one value of green, blue; that channel is only centered",)


def test_stacks_are_the_same_whatever_the_workers(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    root = class_folders(tmp_path, {"a": 150}, size=(6, 7))
    files = tuple(sorted(f"a/{path.name}" for path in (root / "a").iterdir()))
    examples = Examples(FileImages(root, files), ClassLabels(np.zeros(150, np.int64)))
    one = decode_stack(examples, range(150), RGB, 1)
    assert one.shape == (150, 3, 4, 4)
    np.testing.assert_array_equal(one, decode_stack(examples, range(150), RGB, 3))
    assert find_bad(examples, RGB, 2) == []
    (root / "a" / "140.png").write_bytes(b"x")
    found = find_bad(examples, RGB, 2)
    assert found == [(140, str(root / "a" / "140.png"), found[0][2])]
    assert found[0][2].startswith("not an image")
    with pytest.raises(BadFile, match=r"140\.png"):
        decode_stack(examples, range(150), RGB, 2)
