"""Pictures that would take all memory, hang or end in a traceback: each is bounded, and each failure has a name."""

import io
import os
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from convsmith.base.errors import BadFile, MissingPath
from convsmith.data import images as opening
from convsmith.data import preprocess as preparing
from convsmith.data.check import check_path
from convsmith.data.dataset import open_data
from convsmith.data.decoding import decode_one, find_bad, measure
from convsmith.data.examples import from_arrays
from convsmith.data.formats import EXTENSIONS, is_image_name
from convsmith.data.images import open_image
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput, decode, load, to_size
from convsmith.data.sources.opening import open_source
from convsmith.data.sources.tree import left_out_line

RECORD = ImageInput(size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
CUT = replace(RECORD, size=(224, 224), resize=256)
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F", "PA", "La", "RGBa")


def png(width: int, height: int, color: int = 0, bits: int = 1) -> bytes:
    """A black PNG, made without its pixels ever being in memory."""
    channels = {0: 1, 2: 3, 6: 4}[color]
    row = b"\0" + bytes((width * channels * bits + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def header_of(width: int, height: int, color: int, bits: int) -> bytes:
    """A PNG that claims its size and has hardly any pixels."""
    whole = png(1, 1, color, bits)
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def in_little_memory(code: str, *arguments: object) -> str:
    """What Python prints of `code` with 1 GB of addresses more than it has after its imports."""
    limited = (
        "import resource, sys\n"
        "from convsmith.data.preprocess import ImageInput, load\n"
        "from dataclasses import replace\n"
        "record = ImageInput(size=(224, 224), resize=256, mean=(0.5,) * 3, std=(0.5,) * 3)\n"
        "load(open(sys.argv[1], 'rb').read(), record) if sys.argv[1] else None\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "most = pages * resource.getpagesize() + 10**9\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
    )
    command = [sys.executable, "-c", limited + code, "", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return done.stdout + done.stderr


@pytest.mark.parametrize("size", [(2_000_000, 1), (1, 2_000_000), (20_000_000, 1), (1, 2_000), (65_000, 2)])
def test_extreme_shapes_are_cropped_before_they_are_scaled(size: tuple[int, int]) -> None:
    content = png(*size)
    for record in (RECORD, CUT, replace(RECORD, fit="pad"), replace(RECORD, fit="squash")):
        found = load(content, record)
        assert found.shape == (3, *record.size)
        if record.fit != "pad":
            assert (found == -1).all()
    margin = to_size(decode(content, CUT), CUT, margin=True)
    assert margin.shape == (256, 256, 3)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_extreme_shapes_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    path.write_bytes(png(2_000_000, 1))
    assert in_little_memory("print(load(sys.argv[2], record).shape)", path) == "(3, 224, 224)\n"


@pytest.mark.parametrize("stored", [(64, 4000), (4000, 64), (37, 3001)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_part_that_is_cut_is_that_of_the_whole(
    stored: tuple[int, int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*stored, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    record = replace(CUT, size=(96, 96), resize=109)
    whole = [to_size(image, record, margin).astype(int) for margin in (False, True)]
    monkeypatch.setattr(preparing, "_WHOLE_PIXELS", 0)
    for margin, expected in zip((False, True), whole, strict=True):
        found = to_size(image, record, margin).astype(int)
        assert found.shape == expected.shape
        # Weights are rounded after the corner is added: the last bit of one may differ.
        assert np.abs(found - expected).max() <= 1


def test_ordinary_pictures_are_scaled_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: list[object] = []
    resize = Image.Image.resize

    def watched(image: Image.Image, size: tuple[int, int], filter: int, box: object = None) -> Image.Image:
        boxes.append(box)
        return resize(image, size, filter, box)

    monkeypatch.setattr(Image.Image, "resize", watched)
    for stored in ((3000, 4000), (4000, 1000), (100, 16_000), (1000, 60_000)):
        to_size(Image.new("L", stored[::-1]), CUT)
    assert boxes == [None] * 4


def test_large_pictures_are_refused_by_their_header() -> None:
    for color, bits, size in ((6, 16, "1.9 GiB"), (2, 8, "1008.6 MiB"), (0, 8, "1.2 GiB")):
        with pytest.raises(BadFile) as caught:
            decode(header_of(16_000, 16_000, color, bits), RECORD, "x.png")
        assert str(caught.value) == (
            f"x.png: has 16,000x16,000 pixels (width x height), and decoding them would take about {size} of memory, "
            "more than 512.0 MiB; if you trust the file: --max-megapixels 256, else make it smaller or remove it"
        )
    # Allowed, only the missing pixels are its fault.
    with pytest.raises(BadFile, match="cut short or damaged"):
        decode(header_of(16_000, 16_000, 0, 1), RECORD, "x.png", most=256_000_000)


def test_a_tile_larger_than_its_image_counts() -> None:
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "TIFF", compression="raw")
    image = Image.open(buffer)
    image._tile_size = (60_000, 60_000)  # type: ignore[attr-defined]
    with pytest.raises(BadFile, match=r"--max-megapixels 3600, else"):
        opening._shrunk(image, bytes(100), "x.tif", None)


def test_a_large_jpeg_is_decoded_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1001, 600), "red").save(buffer, "JPEG")
    assert open_image(buffer.getvalue(), "x").size == (1001, 600)
    monkeypatch.setattr("convsmith.data.price.MOST_BYTES", 2**25 + 1001 * 600 * 2)
    assert open_image(buffer.getvalue(), "x").size == (501, 300)
    assert open_image(buffer.getvalue(), "x", most=1_000_000).size == (1001, 600)
    assert open_image(buffer.getvalue(), "x", least=100).size == (251, 150)
    progressive = io.BytesIO()
    Image.new("RGB", (1001, 600), "red").save(progressive, "JPEG", progressive=True)
    with pytest.raises(BadFile, match="--max-megapixels 1, else"):
        open_image(progressive.getvalue(), "x")


def test_what_takes_long_is_refused() -> None:
    digits = b"P3\n2000 2000\n255\n" + b"1 2 3 " * 4_000_000
    with pytest.raises(BadFile, match=r"would take about 16 s, more than 5 s; .* --max-megapixels 4,"):
        decode(digits, RECORD)


def with_scans(more: int, **how: object) -> bytes:
    """A JPEG of a million pixels whose last scan comes `more` times more."""
    buffer = io.BytesIO()
    Image.new("RGB", (1000, 1000), "red").save(buffer, "JPEG", **how)
    data = buffer.getvalue()
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * more + data[-2:]


def test_many_scans_of_few_bytes_are_counted() -> None:
    data = with_scans(5000, progressive=True)
    assert len(data) < 100_000
    with pytest.raises(BadFile, match=r"has 1,000x1,000 pixels .* would take about 20 s, more than 5 s"):
        open_image(data, "x")
    with pytest.raises(BadFile, match="would take about 22 s"):  # not progressive
        open_image(with_scans(5000), "x")
    # Scans of a thumbnail, which lies in the header, and of pictures behind the first one do not count.
    thumbnail = with_scans(3000, progressive=True)[2:60_000]
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    plain = with_scans(0, progressive=True)
    assert open_image(plain[:2] + segment + plain[2:] + data, "x").size == (1000, 1000)


def test_pillows_own_limit_is_put_back() -> None:
    before = Image.MAX_IMAGE_PIXELS
    load(png(8, 8), RECORD)
    with pytest.raises(BadFile):
        load(header_of(60_000, 60_000, 6, 16), RECORD)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16", "CMYK", "LA", "1", "I", "L"])
def test_strips_are_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (37, 41, 4), dtype=np.uint8)
    if mode in ("I;16", "I"):
        deep = values[..., 0].astype(np.uint16) * 200
        image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(deep.astype(np.int32))
    else:
        image = Image.fromarray(values, "RGBA").convert(mode)
    image.info["transparency"] = 3 if mode == "P" else image.info.get("transparency")
    if image.info["transparency"] is None:
        del image.info["transparency"]
    gray = replace(RECORD, mode="L", mean=(0.5,), std=(0.5,))
    whole = [decode(image, record) for record in (RECORD, gray)]
    monkeypatch.setattr(preparing, "_STRIP_PIXELS", 100)
    for record, expected in zip((RECORD, gray), whole, strict=True):
        np.testing.assert_array_equal(decode(image, record), expected)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_only_regular_files_are_read(tmp_path: Path) -> None:
    fifo, folder, zero, sock = (tmp_path / name for name in ("fifo.jpg", "folder.jpg", "zero.png", "socket.png"))
    os.mkfifo(fifo)
    folder.mkdir()
    zero.symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(sock))
        for path, what in (
            (fifo, "a named pipe (FIFO)"), (folder, "a folder"), (zero, "a device"), (sock, "a socket")
        ):  # fmt: skip
            with pytest.raises(BadFile) as caught:
                load(path, RECORD)
            said = f"{path}: is {what} and cannot be read as an image; expected a regular file"
            assert str(caught.value) == said
    for gone in (tmp_path / "none.jpg", tmp_path / "a\0b.jpg"):
        with pytest.raises(MissingPath, match="no such file"):
            load(gone, RECORD)


@pytest.fixture
def folder(tmp_path: Path, class_folders: Callable[..., Path]) -> Path:
    """Twenty sound pictures of two classes, and one of each bad kind."""
    root = class_folders(tmp_path / "photos", {"cat": 10, "owl": 10}, size=(32, 32))
    bad = root / "cat"
    (bad / "bomb.png").write_bytes(header_of(60_000, 60_000, 6, 16))
    (bad / "cut.png").write_bytes(next((root / "owl").iterdir()).read_bytes()[:900])
    (bad / "empty.png").write_bytes(b"")
    (bad / "text.jpg").write_text("no image")
    (bad / "link.jpg").symlink_to("nowhere.jpg")
    (bad / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(bad / "fifo.jpg")
    Image.new("F", (8, 8)).save(bad / "float.tif")
    return root


BAD = {"bomb.png", "cut.png", "empty.png", "text.jpg", "link.jpg", "zero.png", "fifo.jpg", "float.tif"}
# What a folder's source leaves out by itself, with a line.
NO_FILES = {"link.jpg", "zero.png", "fifo.jpg"}


def test_check_finds_what_training_leaves_out(folder: Path) -> None:
    (folder / "owl" / "long.png").write_bytes(png(2_000_000, 1))
    report = check_path(folder)
    assert not report.ok
    assert {Path(f.file).name for f in report.findings if f.kind in ("broken", "not_an_image", "missing")} == BAD
    options = DataOptions(source=str(folder), on_bad="skip", size=32)
    data = open_data(options)
    assert {Path(row["file"]).name for row in data.split["skipped"]} == BAD - NO_FILES
    source = open_source(options)
    bad = find_bad(source.splits["train"], data.preprocess, 2)
    assert {Path(name).name for _, name, _ in bad} == BAD - NO_FILES
    assert "3 links to nothing are left out (cat/fifo.jpg)" in data.notes
    assert len(data.train) + len(data.val) + len(data.test or ()) == 21


def test_the_limit_is_lifted_for_all_who_read_a_source(folder: Path) -> None:
    options = DataOptions(source=str(folder), max_megapixels=4000)
    examples = open_source(options).splits["train"]
    number = next(i for i in range(len(examples)) if examples.name(i).endswith("bomb.png"))
    for some in (examples, examples.subset([number])):
        i = number if some is examples else 0
        assert [stored.most for stored in some.images.stores()] == [4_000_000_000]
        with pytest.raises(BadFile, match=r"bomb\.png: the image is cut short or damaged"):
            decode_one(some, i, RECORD)
    report = check_path(folder, max_megapixels=4000)
    (found,) = [f for f in report.findings if f.file.endswith("bomb.png") and f.kind == "broken"]
    assert found.detail.startswith("the image is cut short or damaged")


def test_any_failure_of_any_step_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(40, 40))
    for place in ("resize", "crop", "convert", "load"):
        for error in (MemoryError(), OverflowError("too large"), RuntimeError("decoder"), AttributeError("x")):

            def fails(*args: object, error: Exception = error, **kwargs: object) -> None:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(Image.Image, place, fails)
                if place == "load":
                    patch.setattr("PIL.ImageFile.ImageFile.load", fails)
                with pytest.raises(BadFile, match=rf"^{path}: .*({error or 'MemoryError'})"):
                    load(path, RECORD)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_decoded_or_refused_by_name(mode: str) -> None:
    image = Image.new(mode, (9, 7)) if mode != "PA" else Image.new("LA", (9, 7)).convert("PA")
    if mode == "F":
        with pytest.raises(BadFile, match="floating-point numbers, whose range is not known"):
            load(image, RECORD)
        return
    assert load(image, RECORD).shape == (3, 32, 32)
    assert load(image, replace(RECORD, mode="L", mean=(0.5,), std=(0.5,))).shape == (1, 32, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    stored = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    stored.save(buffer, "PNG", exif=exif)
    turned = {
        2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose, 6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
    }.get(orientation, np.asarray)  # fmt: skip
    found = decode(buffer.getvalue(), replace(RECORD, mode="L", mean=(0.5,), std=(0.5,)))[..., 0]
    np.testing.assert_array_equal(found, turned(np.asarray(stored)))


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jfif"), ("JPEG", "jpe"), ("AVIF", "avif"), ("PPM", "pnm")])
def test_more_extensions_are_images(kind: str, extension: str, tmp_path: Path) -> None:
    if extension not in EXTENSIONS:
        pytest.skip(f"Pillow here does not read {kind}")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.new("RGB", (8, 8), (i * 60, 90, 7)).save(tmp_path / name / f"{i}.{extension.upper()}", kind)
    assert len(open_source(DataOptions(source=str(tmp_path))).splits["train"]) == 4
    assert not [f for f in check_path(tmp_path).findings if f.kind == "odd"]


def test_what_is_no_image_by_its_name_is_counted_with_the_mend() -> None:
    assert is_image_name("A.JPG")
    assert not is_image_name("jpg")
    assert left_out_line(["a.HEIC", "b.heic", "c.txt", "d"], 4) == (
        "WARNING: 4 of 8 files left out: 2 .heic, 1 .txt, 1 without extension; these are pictures in a format that is "
        "not read; .heic: convert it to JPEG: with the package pillow-heif, or save it so in the program that shows it"
    )
    heic = struct.pack(">I", 24) + b"ftypheic" + bytes(40)
    with pytest.raises(
        BadFile, match=r"x.jpg: a HEIC photograph, which Pillow does not read; convert it to JPEG: with"
    ):
        decode(heic, RECORD, "x.jpg")
    with pytest.raises(BadFile, match=r"develop the raw photograph to JPEG"):
        decode(b"FUJIFILMCCD-RAW ", RECORD, "x.raf")


def test_equal_images_are_said_and_do_not_explode(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(6):
            # Other bytes, the same pixels.
            about = PngInfo()
            about.add_text("number", f"{name}{i}")
            Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / name / f"{i}.png", pnginfo=about)
    data = open_data(DataOptions(source=str(tmp_path)))
    assert data.preprocess.std == (1.0, 1.0, 1.0)
    assert data.notes == (
        "every pixel of the 8 training images looked at has one value, 10, 20, 30 of 255: nothing can be learned from "
        "them; look at the files",
    )
    said = [f.detail for f in check_path(tmp_path).findings if f.file == str(tmp_path)]
    assert said == ["all images are equal, pixel for pixel: nothing can be learned from them; look at the files"]
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), dtype=np.uint8).repeat(5, axis=0)
    found = measure(from_arrays(pixels, np.zeros(5), "x"), replace(RECORD, size=(4, 4)), 1)
    assert found.warnings == (
        "the 5 training images looked at are equal, pixel for pixel: nothing can be learned from them; look at the "
        "files",
    )


def test_borders_are_no_part_of_the_mean() -> None:
    pixels = np.zeros((4, 8, 32, 3), np.uint8)
    pixels[:, :, ::2] = 200
    found = measure(from_arrays(pixels, np.zeros(4), "x"), replace(RECORD, size=(32, 32), fit="pad"), 1)
    plain = measure(from_arrays(pixels, np.zeros(4), "x"), replace(RECORD, size=(8, 32)), 1)
    np.testing.assert_allclose(found.mean, plain.mean, atol=0.01)
