"""Hostile and damaged files for `faults.py`: images, weights and archives, each with a name that says what it is."""

import hashlib
import io
import itertools
import json
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from convsmith.runs.sealed import seal

Named = tuple[str, bytes]
# Whoever runs this leaves a file of this name where they are.
CANARY = "PWNED"
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
SUFFIX = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "WEBP": "webp", "PPM": "ppm"}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(seed: int, size: tuple[int, int] = (40, 32), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def damaged_images(count: int) -> Iterator[Named]:
    """`count` images that are cut, overwritten, mislabeled or of an unusual kind, the kinds in turn."""
    dice = random.Random(0)

    def cut(kind: str, n: int) -> Named:
        data = encoded(photo(n), kind)
        return f"cut-{n}.{SUFFIX[kind]}", data[: dice.randrange(1, len(data))]

    def overwritten(kind: str, n: int) -> Named:
        data = bytearray(encoded(photo(n), kind))
        for _ in range(dice.choice((1, 4, 32))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        return f"overwritten-{n}.{SUFFIX[kind]}", bytes(data)

    def odd(n: int) -> Named:
        kinds: tuple[Callable[[], Named], ...] = (
            lambda: (f"random-{n}.jpg", dice.randbytes(dice.randrange(1, 4000))),
            lambda: (f"empty-{n}.png", b""),
            lambda: (f"png-{n}.jpg", encoded(photo(n), "PNG")),
            lambda: (f"cmyk-{n}.jpg", encoded(photo(n, mode="CMYK"), "JPEG")),
            lambda: (f"sixteen-{n}.png", encoded(Image.fromarray(np.full((20, 20), n, np.uint16)), "PNG")),
            lambda: (f"moving-{n}.gif", encoded(photo(n), "GIF", save_all=True, append_images=[photo(n + 1)])),
            lambda: (f"turned-{n}.jpg", encoded(photo(n), "JPEG", exif=_turned(n % 8 + 1))),
            lambda: (f"thin-{n}.png", encoded(photo(n, (1, 1 + n % 300)), "PNG")),
            lambda: (f"clear-{n}.png", encoded(photo(n, mode="RGBA"), "PNG")),
            lambda: (f"page-{n}.jpg", b"<!DOCTYPE html><title>404</title>"),
        )
        return kinds[n // 3 % len(kinds)]()

    for n in range(count):
        kind = FORMATS[n // 3 % len(FORMATS)]
        yield (cut(kind, n), overwritten(kind, n), odd(n))[n % 3]


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def bombs(count: int) -> Iterator[Named]:
    """`count` images that are small files and would be large or slow, and files of formats that must not be opened."""
    sides = (30_000, 20_000, 13_370, 65_535, 100_000)
    for n, side in zip(range(count // 5), itertools.cycle(sides)):
        yield f"header-{n}-{side}.png", png(side, side, b"\0" * 64, 8 if n % 2 else 16, (0, 2, 6)[n % 3])
    for n, long in zip(range(count // 5), itertools.cycle((100_000, 2_000_000, 20_000_000, 178_000_000))):
        size = (long, 1) if n % 2 else (1, long)
        yield f"thin-{n}-{long}.png", png(*size, zlib_zeros((size[0] // 8 + 1) * size[1] + size[1]), 1, 0)
    for n in range(count // 5):
        yield f"gigabyte-{n}.png", png(100 + n, 100, zlib_zeros(1 << 30), 8, 2)
    whole = ((13_370, "L"), (8_000, "RGB"), (13_000, "1"), (6_000, "RGBA"))
    for n, (side, mode) in zip(range(count // 5), itertools.cycle(whole)):
        kind = ("PNG", "WEBP", "TIFF", "GIF", "BMP")[n % 5] if side < 10_000 and mode != "BMP" else "PNG"
        options = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
        yield f"whole-{n}-{side}.{SUFFIX[kind]}", encoded(Image.new(mode, (side, side)), kind, **options)
    heads = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100000 100000\n", b"8BPS\0\1" + b"\0" * 60, b"%PDF-1.7\n",
        b"SIMPLE  =                    T" + b" " * 50, b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 60, b"DDS |\0\0\0" + b"\xff" * 120, b"icns" + b"\0" * 60,
        b"\0\0\1\0\1\0" + b"\xff" * 60, b"\x1f\x8b\x08" + b"\0" * 60, b"MZ" + b"\0" * 60, b"\x7fELF" + b"\0" * 60,
    )  # fmt: skip
    for n, head in zip(range(count - 4 * (count // 5)), itertools.cycle(heads)):
        yield f"other-{n}.{('png', 'jpg')[n % 2]}", head


def png(width: int, height: int, data: bytes, depth: int, color: int) -> bytes:
    """A PNG whose header says the size, whatever its data is."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@cache
def zlib_zeros(count: int) -> bytes:
    """So many zeros, compressed."""
    packer, block = zlib.compressobj(9), b"\0" * (1 << 20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join([*parts, packer.compress(b"\0" * (count & ((1 << 20) - 1))), packer.flush()])


class _Runs:
    """What calls a function when it is unpickled."""

    def __init__(self, function: object, *arguments: object):
        self.called = function, arguments

    def __reduce__(self) -> object:
        return self.called


def hostile_weights(count: int) -> Iterator[Named]:
    """`count` files that run code where they are unpickled, or that are broken as safetensors, the kinds in turn."""
    makers = [*_pickles(), *_headers()]
    random.Random(0).shuffle(makers)
    makers.sort(key=lambda maker: not maker[0].startswith("bundle"))  # the rarest kind is always among them
    for n in range(count):
        name, data = makers[n % len(makers)]
        yield f"{n}-{name}", data


def _pickles() -> Iterator[Named]:
    import builtins
    import os
    import subprocess

    command = f"touch {CANARY}"
    attacks = {
        "system": _Runs(os.system, command),
        "popen": _Runs(subprocess.getoutput, command),
        "eval": _Runs(builtins.eval, f"__import__('os').system({command!r})"),
        "exec": _Runs(builtins.exec, f"open({CANARY!r}, 'w')"),
        "getattr": _Runs(getattr, _Runs(builtins.__import__, "os"), "system"),
    }
    for (name, attack), suffix in itertools.product(attacks.items(), ("pt", "pth", "bin", "ckpt", "safetensors")):
        for protocol in (0, 2, 5):
            yield f"{name}-{protocol}.{suffix}", pickle.dumps({"conv.weight": attack}, protocol)
        buffer = io.BytesIO()
        torch.save({"state_dict": {"a": torch.zeros(2)}, "epoch": attack}, buffer)
        yield f"{name}-zip.{suffix}", buffer.getvalue()


def _headers() -> Iterator[Named]:
    def file(header: object, body: bytes = b"\0" * 8, length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + body

    def tensor(begin: int, end: int, shape: object = (2,), dtype: str = "F32") -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    headers = {
        "long-header": file({}, length=1 << 62), "hundred-megabytes": file({}, length=100_000_001),
        "overlap": file({"a": tensor(0, 8), "b": tensor(4, 12)}), "beyond": file({"a": tensor(0, 1 << 40)}),
        "backwards": file({"a": tensor(8, 0)}), "negative": file({"a": tensor(-8, 0)}),
        "overflow": file({"a": tensor(0, 8, [1 << 40, 1 << 40])}), "null-name": file({"a\0b": tensor(0, 8)}),
        "hole": file({"a": tensor(4, 12)}, b"\0" * 12), "rest": file({"a": tensor(0, 8)}, b"\0" * 80),
        "kind": file({"a": tensor(0, 8, dtype="F33")}), "nested": file(b"[" * 200_000), "no-json": file(b"\xff" * 99),
        "list": file([]), "twice": file(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{}}'),
        "names": file({f"n{i}": tensor(0, 0, [0]) for i in range(200_000)}, b""), "empty": b"", "short": b"\1\2\3",
    }  # fmt: skip
    for name, data in headers.items():
        yield f"{name}.safetensors", data
    yield "bundle-module.safetensors", file({"__metadata__": {"convsmith": _module_bundle()}, "a": tensor(0, 8)})


def _module_bundle() -> str:
    """The metadata of a bundle whose network is a call of a function of the standard library."""
    import subprocess

    network = {
        "kind": "module", "source": f"{subprocess.__file__}:getoutput", "arguments": {"cmd": f"touch {CANARY}"},
        "fingerprint": None,
    }  # fmt: skip
    card = {
        "name": "x", "kind": "folder", "classes": ["a", "b"], "channels": 3, "size": [32, 32], "counts": {},
        "class_counts": {}, "license": "", "source": "", "fingerprint": "", "notes": [], "multilabel": False,
    }  # fmt: skip
    record = {"mode": "RGB", "size": [32, 32], "mean": [0.5] * 3, "std": [0.5] * 3}
    fields = {"format": 1, "network": network, "card": card, "preprocess": record, "temperature": 1.0}
    weights = {"weights_sha256": hashlib.sha256(b"\0" * 8).hexdigest()}
    return seal(fields | {"channels_last": True, "run": "x", "step": 1} | weights)


ESCAPES = (
    "../../escaped.png", "/tmp/escaped-by-an-archive.png", "a/../../../escaped.png", "..\\..\\escaped.png",
    "C:\\escaped.png", "a/" * 200 + "x.png", "a\0b.png", "\u202egnp.x", "CON.png", "a/./b//c.png",
)  # fmt: skip


def archives(count: int) -> Iterator[Named]:
    """`count` archives that would write elsewhere, fill the disk or confuse, the kinds in turn."""
    image = encoded(photo(0), "PNG")
    makers = [(f"escape{n}.zip", _zip([(name, image)])) for n, name in enumerate(ESCAPES)]
    makers += [(f"escape{n}.tar", _tar([(_member(name), image)])) for n, name in enumerate(ESCAPES[:6])]
    link = [
        ("a/link", tarfile.SYMTYPE, "/tmp"),
        ("a/link", tarfile.SYMTYPE, "../.."),
        ("a/hard", tarfile.LNKTYPE, "/etc/passwd"),
    ]
    for n, (name, kind, target) in enumerate(link):
        makers.append((f"link{n}.tar", _tar([(_member(name, kind, target), b""), (_member(f"{name}/x.png"), image)])))
    for n, kind in enumerate((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)):
        makers.append((f"device{n}.tar", _tar([(_member("a/x.png", kind), b"")])))
    makers += [
        ("bomb.zip", _zip([(f"a/{n}.png", b"\0" * (1 << 28)) for n in range(4)])),
        ("entries.zip", _zip([(f"a/{n}.png", b"") for n in range(100_000)])),
        ("twice.zip", _zip([("a/x.png", image), ("a/x.png", b"other"), ("A/X.PNG", image)])),
        ("cut.zip", _zip([("a/x.png", image)])[:-30]), ("no.zip", b"PK\3\4" + b"\0" * 200),
        ("size.tar", _tar([(_member("a/x.png"), image)])[:700]), ("cut.tar.gz", b"\x1f\x8b\x08" + b"\0" * 99),
        ("link.zip", _zip([("a/link", b"/etc/passwd")], mode=0o120777)),
    ]  # fmt: skip
    for n in range(count):
        name, data = makers[n % len(makers)]
        yield f"{n}-{name}", data


def _zip(members: list[tuple[str, bytes]], mode: int = 0o100644) -> bytes:
    import warnings

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same name twice is meant
        for name, data in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr, info.compress_type = name, mode << 16, zipfile.ZIP_DEFLATED
            file.writestr(info, data)
    return buffer.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _tar(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as file:
        for info, data in members:
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_all(folder: Path, files: Iterator[Named]) -> list[Path]:
    """The files, written into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, data in files:
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    return paths
