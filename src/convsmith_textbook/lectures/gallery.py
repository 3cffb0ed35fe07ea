"""Fixed 3x3 kernels, on numbers and on a photograph."""

from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from convsmith.base.errors import BadFile, MissingPath
from convsmith.report.picture_grid import PictureRow, pictures_svg
from convsmith_textbook.lectures.entry import Entry, Figure
from convsmith_textbook.lectures.grids import Operands, correlate, numbers

KERNELS: dict[str, np.ndarray] = {
    "edge detection": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "Gaussian blur": np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
}
WIDTH = 340  # pixels of a picture
PHOTO = "flower.jpg"
CREDIT = "photograph: scikit-learn's flower.jpg (CC BY 2.0, flickr.com/photos/vultilion)"


def responses() -> dict[str, object]:
    """The responses of the kernels to a flat area and to a single bright point."""
    flat, point = np.full((1, 3, 3), 7.0), np.zeros((1, 5, 5))
    point[0, 2, 2] = 16
    values: dict[str, object] = {}
    for name, kernel in KERNELS.items():
        filters = (numbers(kernel[None]),)
        values[f"{name}: flat area of 7"] = numbers(correlate(Operands(numbers(flat), filters))[0, 0, 0])
        values[f"{name}: point of 16"] = numbers(correlate(Operands(numbers(point), filters))[0])
    return values


def photograph(path: Path | None = None) -> np.ndarray:
    """An image file, or scikit-learn's flower, as (H, W, 3) of uint8, `WIDTH` pixels wide."""
    if path is None:
        array = import_module("sklearn.datasets").load_sample_image(PHOTO)
        picture = Image.fromarray(array)
    else:
        picture = _opened(path)
    height = max(1, round(picture.height * WIDTH / picture.width))
    return np.asarray(picture.resize((WIDTH, height), Image.Resampling.LANCZOS))


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        raise MissingPath(f"{path}: no such image; without --image the gallery shows a photograph of scikit-learn")
    try:
        with Image.open(path) as file:
            return file.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadFile(path, f"could not be read as an image ({error})") from None


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) of uint8 under a 3x3 kernel, color by color, cut to 0 to 255; edges repeat the border."""
    padded = np.pad(image.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    total = sum(kernel[i, j] * padded[i : i + height, j : j + width] for i in range(3) for j in range(3))
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def gallery_svg(path: Path | None = None) -> str:
    """The photograph and its response to each kernel, as SVG."""
    image = photograph(path)
    images, captions = [image], ["photograph"]
    for name, kernel in KERNELS.items():
        rows = "; ".join(" ".join(f"{v:g}" for v in row) for row in (kernel if kernel.min() < 0 else kernel * 16))
        captions.append(f"{name}: {rows}{'' if kernel.min() < 0 else ' (each / 16)'}")
        images.append(filtered(image, kernel))
    row = PictureRow("", np.stack(images), captions)
    title, note = "A photograph under kernels for edges, sharpening and blur", CREDIT if path is None else ""
    return pictures_svg(title, [row], note=note, columns=2, side=WIDTH)


def _spread(middle: int, side: int, corner: int) -> tuple:
    """The response to a single point of a symmetric kernel."""
    return ((corner, side, corner), (side, middle, side), (corner, side, corner))


ENTRIES = {
    "kernel-gallery": Entry(
        title="edge detection, sharpening and blur by fixed 3x3 kernels, on a photograph",
        rows="2.4 9.17",
        lectures="layers",
        compute=responses,
        figures=(
            Figure("edge detection: flat area of 7", None, 0),
            Figure("sharpen: flat area of 7", None, 7),
            Figure("Gaussian blur: flat area of 7", None, 7),
            Figure("edge detection: point of 16", None, _spread(128, -16, -16)),
            Figure("sharpen: point of 16", None, _spread(80, -16, 0)),
            Figure("Gaussian blur: point of 16", None, _spread(4, 2, 1)),
        ),
        picture=gallery_svg,
        takes_image=True,
    ),
}
