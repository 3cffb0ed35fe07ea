"""The views of an image whose answers are averaged, as a user writes them: flat, typed records."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from convsmith.base.config import plain, read_value
from convsmith.base.errors import UsageError
from convsmith.base.record import Tagged, kind_of, option
from convsmith.data.fit import frame, shaped
from convsmith.report.text import many

if TYPE_CHECKING:
    from convsmith.data.preprocess import ImageInput  # which imports numpy and Pillow


@dataclass(frozen=True)
class Mirror(Tagged):
    """The image and its mirror image: 2 views."""


@dataclass(frozen=True)
class TenCrop(Tagged):
    """The four corners and the center, each also mirrored (Krizhevsky, Sutskever and Hinton 2012, section 4.1).

    They are cut from the image before its center crop, or from one with padding of the mean color.
    """

    padding: int = option(0, "pixels added on every side first", least=0)


@dataclass(frozen=True)
class Translate(Tagged):
    """The image, and it shifted towards the upper left and the lower right, its border mirrored: 3 views.

    The image itself counts half, the shifted ones a quarter each (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds").
    """

    pixels: int = option(1, "how far along each axis, pixels", least=1)


def _check_scales(scales: tuple[int, ...]) -> None:
    if not scales or len(set(scales)) < len(scales):
        raise UsageError(
            "multi_scale: expected different lengths in pixels such as multi_scale(224, 256), "
            f"received {', '.join(map(str, scales)) or 'none'}"
        )


@dataclass(frozen=True)
class MultiScale(Tagged):
    """The image scaled so that its shorter side has each of some lengths; the other views are taken of each."""

    scales: tuple[int, ...] = option((), "lengths of the shorter side, pixels", least=1, check=_check_scales)


@dataclass(frozen=True)
class Dense(Tagged):
    """The whole center square instead of a crop, by the network applied fully convolutionally: 1 view.

    (Simonyan and Zisserman 2015, section 3.2; He et al. 2016, section 3.4.) A head that takes a map of one size gives
    a map of answers on a larger image, and their mean counts.
    """


@dataclass(frozen=True)
class Draws(Tagged):
    """Several answers with layers left as random as in training, each with its own draw.

    Dropout (Gal and Ghahramani 2016), random pooling (Graham 2014, section 4), or both. A draw depends on the seed, its
    number and the batch alone.
    """

    count: int = option(12, "how many", least=1)
    of: Literal["all", "pooling", "dropout"] = option(
        "all", "which layers: random pooling, dropout and its kin, or both"
    )
    seed: int = option(0, "seed of the draws", least=0)


@dataclass(frozen=True)
class Noisy(Tagged):
    """Several draws of Gaussian noise in the pixels, averaged out; the augmentation `noise` adds the same in training.

    A draw depends on the seed, its number and the image alone, whichever others stand beside it.
    """

    count: int = option(8, "how many", least=1)
    deviation: float = option(0.05, "standard deviation, where black is 0 and white 1", least=0, most=1)
    seed: int = option(0, "seed of the draws", least=0)


# Every kind of view, in the order of docs/eval.md.
View = Mirror | TenCrop | Translate | MultiScale | Dense | Draws | Noisy
# Those that say where in the image a view lies: one of them at most.
_PLACES = (TenCrop, Translate, Dense)
# As the larger side of what the network gets: images beyond it would not fit into memory.
_LARGEST = 4096
Kind = TypeVar("Kind")


def read_views(views: str | Sequence[Any]) -> tuple[View, ...]:
    """Views from their text form `multi_scale(224, 256),mirror`, or as records; checked to go together."""
    records = cast("tuple[View, ...]", read_value(tuple[View, ...], views, "views"))
    check_views(records)
    return records


def check_views(views: Sequence[View]) -> None:
    """Raise UsageError if the views cannot be combined."""
    names = [kind_of(type(view)) for view in views]
    twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
    if twice:
        raise UsageError(f"views: {twice} is given twice; give it once")
    places = [kind_of(type(view)) for view in views if isinstance(view, _PLACES)]
    if len(places) > 1:
        raise UsageError(f"views: {' and '.join(places)} both say which part of the image is seen; give one")
    if "ten_crop" in names and "mirror" in names:
        raise UsageError("views: ten_crop holds the mirror images already; leave out mirror")


def scaled_records(views: Sequence[View], preprocess: "ImageInput") -> "tuple[ImageInput, ...]":
    """How an image is decoded for each scale that it is seen at; UsageError where the views do not fit the images.

    Each is the whole center of a scale, of the shape of what the network gets; what is seen of it is cut later.
    """
    scales, crops, dense = pick(views, MultiScale), pick(views, TenCrop), pick(views, Dense)
    shift, size = pick(views, Translate), preprocess.size
    if scales:
        records = tuple(_scaled(preprocess, scale) for scale in scales.scales)
    elif (outer := frame(preprocess)) and (dense or (crops and not crops.padding)):
        records = (replace(preprocess, resize=outer, size=outer),)
    else:
        records = (preprocess,)
    for record in records:
        if not dense and (record.size[0] < size[0] or record.size[1] < size[1]):
            raise UsageError(
                f"multi_scale: the network gets {size[0]}x{size[1]} pixels, which cannot be cut from images scaled to "
                f"{min(record.size)}; give lengths of at least {min(size)}"
            )
        if crops and record.size == size and not crops.padding:
            raise UsageError(
                f"ten_crop: the images have {size[0]}x{size[1]} pixels, as the network gets them, and no margin to cut "
                f"corners from; add one with ten_crop({max(1, min(size) // 8)}), or scale with multi_scale"
            )
    if dense and all(record.size == size for record in records):
        raise UsageError(
            f"dense: the images have {size[0]}x{size[1]} pixels, as the network gets them; give larger ones with "
            f"multi_scale({max(size) + max(1, max(size) // 4)}),dense"
        )
    if crops and crops.padding > max(size):
        raise UsageError(
            f"ten_crop: a padding of {many(crops.padding, 'pixel')} is larger than images of {size[0]}x{size[1]}"
        )
    if shift and shift.pixels >= min(size):
        raise UsageError(
            f"translate: a shift by {many(shift.pixels, 'pixel')} needs images larger than {size[0]}x{size[1]}"
        )
    return records


def pick(views: Sequence[View], kind: type[Kind]) -> Kind | None:
    """The view of this kind; None if there is none."""
    return next((view for view in views if isinstance(view, kind)), None)


@dataclass(frozen=True)
class Price:
    """What an answer takes: how many images go through the network, and their pixels as a multiple of one image's."""

    views: int
    pixels: float


def price(views: Sequence[View], preprocess: "ImageInput") -> Price:
    """The views of an image and their cost."""
    records, height_width = scaled_records(views, preprocess), preprocess.size
    draws, noisy, shift = pick(views, Draws), pick(views, Noisy), pick(views, Translate)
    of_each = (10 if pick(views, TenCrop) else 3 if shift else 1) * (2 if pick(views, Mirror) else 1)
    of_each *= (draws.count if draws else 1) * (noisy.count if noisy else 1)
    area = height_width[0] * height_width[1]
    seen = [r.size[0] * r.size[1] if pick(views, Dense) else area for r in records]
    return Price(of_each * len(records), round(of_each * sum(seen) / area, 2))


def views_text(views: Sequence[View]) -> str:
    """Views as they are written: `multi_scale(224, 256), mirror`."""
    return ", ".join(_text(view) for view in views)


def _text(view: View) -> str:
    fields = {name: value for name, value in plain(view).items() if name != "kind"}
    values = fields.pop("scales") if isinstance(view, MultiScale) else list(fields.values())
    inside = ", ".join(map(str, values))
    return f"{kind_of(type(view))}({inside})" if inside else kind_of(type(view))


def _scaled(preprocess: "ImageInput", short: int) -> "ImageInput":
    """The record for uncropped images with the network's aspect ratio, whose shorter side has `short` pixels."""
    if short > _LARGEST:
        raise UsageError(f"multi_scale: expected lengths of at most {_LARGEST} pixels, received {short}")
    size = shaped(preprocess.size, short)
    return replace(preprocess, resize=size if preprocess.fit == "crop" else None, size=size)
