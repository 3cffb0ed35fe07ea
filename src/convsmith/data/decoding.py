"""Decoding of many examples by threads, since Pillow decodes outside Python's lock."""

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
from convsmith.data.preprocess import UNFIT, ImageInput, center, final_size, read_picture, to_size
from convsmith.report.text import many

# The number of images for the mean and deviation of a training split: more if images are not resampled.
SAMPLE, SAMPLE_RESIZED = 10_000, 2_000
_STD_FLOOR = 1e-3
NOTHING = "nothing can be learned from them; look at the files"
CHUNK = 64
Item = TypeVar("Item")
Result = TypeVar("Result")


def decode_one(examples: Examples, i: int, record: ImageInput, margin: bool = False) -> np.ndarray:
    """Example `i` as uint8 (H, W, C) of the final size. Raises BadFile, which names its file."""
    name = examples.name(i)
    image = examples.read(i, record.least)  # raises BadFile itself; another error is not the file's fault
    with blamed(name, UNFIT):
        return to_size(read_picture(image, record, name), record, margin)


def decode_stack(
    examples: Examples,
    indices: Sequence[int] | np.ndarray,
    record: ImageInput,
    workers: int,
    margin: bool = False,
    cache: Kept | None = None,
) -> np.ndarray:
    """The examples at `indices`, in that order, as uint8 (n, C, H, W); images that `cache` lacks are decoded."""
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


def _fill(out: np.ndarray, examples: Examples, i: int, record: ImageInput, margin: bool, cache: Kept | None) -> None:
    """Put example `i` into `out`, uint8 (C, H, W): from the cache if it has the image, else by decoding it."""
    if cache is None:
        out[:] = decode_one(examples, i, record, margin).transpose(2, 0, 1)
        return
    whole = out if out.shape == cache.shape else np.empty(cache.shape, np.uint8)
    if not cache.read(examples.images, i, whole):
        whole[:] = decode_one(examples, i, record, cache.about["margin"]).transpose(2, 0, 1)
        cache.write(examples.images, i, whole)
    if whole is not out:
        out[:] = center(whole.transpose(1, 2, 0), record.size).transpose(2, 0, 1)


def find_bad(examples: Examples, record: ImageInput, workers: int, use: Use = "off") -> list[tuple[int, str, str]]:
    """Every example that cannot be decoded: its index, its name and the problem."""
    cache, _ = open_cache(examples, record, False, use)
    size = final_size(record, False)

    def bad_of_chunk(begin: int) -> list[tuple[int, str, str]]:
        failures: list[tuple[int, str, str]] = []
        for i in range(begin, min(begin + CHUNK, len(examples))):
            try:
                if cache is None:
                    decode_one(examples, i, record)
                else:
                    _fill(np.empty((record.channels, *size), np.uint8), examples, i, record, False, cache)
            except BadFile as error:
                failures.append((i, error.path, str(error).removeprefix(f"{error.path}: ")))
        return failures

    return [bad for failures in each_chunk(bad_of_chunk, range(0, len(examples), CHUNK), workers) for bad in failures]


@dataclass(frozen=True)
class Measured:
    """Mean and standard deviation of each channel, on a scale of 0 to 1, and warnings."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    warnings: tuple[str, ...]


def measure(examples: Examples, record: ImageInput, workers: int, use: Use = "off") -> Measured:
    """Mean and deviation of each channel over pixels, in float64.

    They are measured on a spread of 10,000 images, or of 2,000 if images are resampled, without the borders of `pad`.
    The mean and std of `record` are not used. A channel whose deviation is less than 1e-3 is as good as constant. Its
    deviation is stated as 1: division by its own would amplify noise, and make other images arbitrarily large.
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
    warnings = _odd(len(chosen), alike, flat, mean)
    return Measured(tuple(round(float(m), 6) for m in mean), tuple(round(float(s), 6) for s in std), warnings)


def _odd(count: int, alike: bool, flat: np.ndarray, mean: np.ndarray) -> tuple[str, ...]:
    """Warnings about images or channels with constant values, from which nothing can be learned."""
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
    """The results of `work` for each of `begins`, in order. The first error stops the rest."""
    if workers <= 1 or len(begins) <= 1:
        yield from map(work, begins)
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(work, begins)
        except BaseException:
            # Queued work would only delay the error.
            pool.shutdown(cancel_futures=True)
            raise


def ahead(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results of `work` in order; threads compute the next ones while one is used. 0 workers compute none ahead."""
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
