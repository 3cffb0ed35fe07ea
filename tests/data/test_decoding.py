"""Decoding in threads, and JPEGs decoded at the size that is needed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from convsmith.data.dataset import open_data
from convsmith.data.decoding import ahead, decode_stack
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import ImageInput, decode, final_size, to_size


def test_results_come_in_order_and_no_further_ahead_than_there_are_threads() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item * item

    results = ahead(work, range(20), 3)
    assert next(results) == 0
    assert max(begun) <= 4
    assert list(results) == [i * i for i in range(1, 20)]
    ended = ahead(work, iter(range(10**9)), 2)
    assert next(ended) == 0
    ended.close()


def test_draft_decoding_is_small_in_effect_and_the_same_everywhere(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:800, 0:1200]
    waves = np.stack([np.sin(rows / 90), np.cos(columns / 70), np.sin((rows + columns) / 150)], axis=-1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            image = Image.fromarray((127 + 100 * np.roll(waves, 37 * i, 1)).astype(np.uint8))
            exif = image.getexif()
            exif[0x0112] = 6
            image.save(tmp_path / name / f"{i}.jpg", quality=90, exif=exif)
    data = open_data(DataOptions(source=str(tmp_path), size=32, decoding="draft"))
    record = data.preprocess
    assert (record.decoding, record.size, record.least) == ("draft", (32, 32), 64)
    assert data.train.read(0, record.least).size == (150, 100), "1/8, no less than 64"
    drafted = decode_stack(data.train, range(len(data.train)), record, 1).astype(int)
    exact = decode_stack(data.train, range(len(data.train)), replace(record, decoding="exact"), 1).astype(int)
    assert 0 < np.abs(drafted - exact).mean() < 1.5
    # Predictions go by the path of a file, training by its examples.
    alone = to_size(decode(Path(data.train.name(0)), record), record).transpose(2, 0, 1)
    np.testing.assert_array_equal(alone, drafted[0])
    assert ImageInput.from_json(record.to_json()) == record
    assert final_size(record, True) == (32, 32)
