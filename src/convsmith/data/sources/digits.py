"""scikit-learn's bundled digits: 1,797 gray images of 8x8 pixels, there on every machine without a download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from convsmith.data.examples import from_arrays
from convsmith.data.sources import fingerprint, names
from convsmith.data.sources.source import Origin, Source, array_source


def open_digits() -> Source:
    """The digits as one split, `train`; their values 0 to 16 become 0 to 255."""
    pixels, labels = _stored()
    images = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    splits = {"train": from_arrays(images, labels, "digits")}
    origin = Origin(
        name="digits",
        kind="digits",
        license="CC BY 4.0",
        source="scikit-learn load_digits; Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49",
    )
    notes = ("values 0 to 16 scaled to 0 to 255",)
    return array_source(origin, names.DIGITS, splits, fingerprint.of_examples(splits), notes)


def _stored() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 64), 0 to 16, and labels: read from scikit-learn's file, since importing it takes a second."""
    spec = find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
    if file is not None and file.is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :-1], rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # a version that keeps them elsewhere

    pixels, labels = load_digits(return_X_y=True)
    return np.asarray(pixels), np.asarray(labels)
