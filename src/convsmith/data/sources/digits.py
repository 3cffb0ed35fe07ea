"""scikit-learn's bundled digits: 1,797 grey images of 8x8 pixels, there on every machine without a download."""

import numpy as np

from convsmith.data.examples import from_arrays
from convsmith.data.sources import fingerprint, names
from convsmith.data.sources.source import Origin, Source, array_source


def open_digits() -> Source:
    """The digits as one split, `train`; their values 0 to 16 become 0 to 255."""
    from sklearn.datasets import load_digits  # a second of imports that the other sources do without

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    splits = {"train": from_arrays(images, labels, "digits")}
    origin = Origin(
        name="digits",
        kind="digits",
        licence="CC BY 4.0",
        source="scikit-learn load_digits; Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49",
    )
    notes = ("values 0 to 16 scaled to 0 to 255",)
    return array_source(origin, names.DIGITS, splits, fingerprint.of_arrays(splits), notes)
