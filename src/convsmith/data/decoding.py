"""Decoding many examples at once, by threads (Pillow decodes outside Python's lock). No torch here."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from convsmith.base.errors import BadFile
from convsmith.data.cache import Use, open_cache
from convsmith.data.examples import Examples, spread
from convsmith.data.image_sets import ArrayImages
from convsmith.data.images import blamed
from convsmith.data.kept import Kept
from convsmith.data.preprocess import UNFIT, Preprocess, center, final_size, read_picture, to_size
from convsmith.report.text import many

# How many images the mean and deviation of a training split are measured on: more where none is resampled.
SAMPLE, SAMPLE_RESIZED = 10_000, 2_000
_STD_FLOOR = 1e-3
NOTHING = "nothing can be learned from them; look at the files"
CHUNK = 64
Item = TypeVar("Item")
Result = TypeVar("Result")


def decode_one(examples: Examples, i: int, record: Preprocess, margin: bool = False) -> np.ndarray:
    """Example `i` as uint8 (H, W, C) of the final size; BadFile names its file."""
    name = examples.name(i)
    image = examples.read(i, record.least)  # which blames the file itself; an error of our code is not the file's
    with blamed(name, UNFIT):
        return to_size(read_picture(image, record, name), record, margin)


def decode_stack(
    examples: Examples,
    indices: Sequence[int] | np.ndarray,
    record: Preprocess,
    workers: int,
    margin: bool = False,
    cache: Kept | None = None,
) -> np.ndarray:
    """The examples at `indices` as uint8 (n, C, H, W), in that order; what `cache` lacks is decoded and put there."""
    height, width = final_size(record, margin)
    images = examples.images
    if isinstance(images, ArrayImages) and images.pixels.shape[1:] == (height, width, record.channels):
        return np.ascontiguousarray(images.stack(indices).transpose(0, 3, 1, 2))
    out = np.empty((len(indices), record.channels, height, width), np.uint8)

    def fill(begin: int) -> None:
        for place in range(begin, min(begin + CHUNK, len(indices))):
            _fill(out[place], examples, int(indices[place]), record, margin, cache)

    for _ in each_chunk(fill, range(0, len(indices), CHUNK), workers):
        pass
    return out


def _fill(out: np.ndarray, examples: Examples, i: int, record: Preprocess, margin: bool, cache: Kept | None) -> None:
    """Put example `i` into `out`, uint8 (C, H, W), from the cache if it is there."""
    if cache is None:
        out[:] = decode_one(examples, i, record, margin).transpose(2, 0, 1)
        return
    whole = out if out.shape == cache.shape else np.empty(cache.shape, np.uint8)
    if not cache.read(examples.images, i, whole):
        whole[:] = decode_one(examples, i, record, cache.about["margin"]).transpose(2, 0, 1)
        cache.write(examples.images, i, whole)
    if whole is not out:
        out[:] = center(whole.transpose(1, 2, 0), record.size).transpose(2, 0, 1)


def find_bad(examples: Examples, record: Preprocess, workers: int, use: Use = "off") -> list[tuple[int, str, str]]:
    """Every example that cannot be decoded: its index, its name and what is wrong with it."""
    cache, _ = open_cache(examples, record, False, use)
    size = final_size(record, False)

    def look(begin: int) -> list[tuple[int, str, str]]:
        found: list[tuple[int, str, str]] = []
        for i in range(begin, min(begin + CHUNK, len(examples))):
            try:
                if cache is None:
                    decode_one(examples, i, record)
                else:
                    _fill(np.empty((record.channels, *size), np.uint8), examples, i, record, False, cache)
            except BadFile as error:
                found.append((i, error.path, str(error).removeprefix(f"{error.path}: ")))
        return found

    return [bad for found in each_chunk(look, range(0, len(examples), CHUNK), workers) for bad in found]


@dataclass(frozen=True)
class Measured:
    """Mean and standard deviation of each channel, on a scale of 0 to 1, and what is odd about them."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    warnings: tuple[str, ...]


def measure(examples: Examples, record: Preprocess, workers: int, use: Use = "off") -> Measured:
    """Mean and deviation of each channel over pixels, in float64.

    Measured on a spread of images: 10,000, or 2,000 where they are resampled; of bordered images without the borders.
    The mean and std of `record` play no part. A channel whose deviation is less than 1e-3 has one value, as good as:
    its deviation is given as 1, since divided by its own it would be noise, and any other image out of all bounds.
    """
    if record.fit == "pad":
        record, use = replace(record, fit="squash"), "off"
    chosen = spread(len(examples), SAMPLE_RESIZED if record.resize or record.fit != "crop" else SAMPLE)
    counts = np.zeros((record.channels, 256), np.int64)
    cache, _ = open_cache(examples, record, False, use)
    first, alike = None, True
    for begin in range(0, len(chosen), 256):
        pixels = decode_stack(examples, chosen[begin : begin + 256], record, workers, cache=cache)
        first = pixels[:1] if first is None else first
        alike = alike and bool((pixels == first).all())
        for channel in range(record.channels):
            counts[channel] += np.bincount(pixels[:, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    deviation = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    flat = deviation < _STD_FLOOR
    std = np.where(flat, 1.0, deviation)
    told = _odd(len(chosen), alike, flat, mean)
    return Measured(tuple(round(float(m), 6) for m in mean), tuple(round(float(s), 6) for s in std), told)


def _odd(count: int, alike: bool, flat: np.ndarray, mean: np.ndarray) -> tuple[str, ...]:
    """Notes on images that do not differ, so that nothing can be learned from them."""
    if flat.all():
        value = ", ".join(f"{255 * m:.0f}" for m in mean)
        looked = many(count, "training image")
        return (f"every pixel of the {looked} looked at has one value, {value} of 255: {NOTHING}",)
    if alike and count > 1:
        return (f"the {count:,} training images looked at are equal, pixel for pixel: {NOTHING}",)
    if flat.any():
        names = [name for name, is_flat in zip(("red", "green", "blue"), flat, strict=True) if is_flat]
        return (f"the training images have one value of {', '.join(names)}; that channel is only centered",)
    return ()


def each_chunk(work: Callable[[int], Result], begins: range, workers: int) -> Iterator[Result]:
    """The results of `work` for each of `begins`, in order; the first error stops the rest."""
    if workers <= 1 or len(begins) <= 1:
        yield from map(work, begins)
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(work, begins)
        except BaseException:
            # What is still queued would only delay the error.
            pool.shutdown(cancel_futures=True)
            raise


def ahead(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results of `work` in order, the next ones computed by threads while one is used; none ahead of 0 workers."""
    if workers < 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        begun: deque[Future[Result]] = deque()
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) > workers:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
