"""What each augmentation costs: as a share of a training step, and against torchvision's transforms in a `DataLoader`.

    python benchmarks/augment.py [--rounds 9] [--only flip,crop] [--no-peer]

The step is that of ResNet-20 on a batch of 128 images of 32x32 pixels, with the engine that `convsmith train` takes on
this machine. Each round times the step and the augmentation of a batch in turn; the figure is the median of the
rounds' shares. Then each round times a pass over 2,560 images of one uint8 tensor, ours batch by batch, and the peer's
in a `DataLoader` of 2 workers whose data set transforms image by image, as torchvision's documentation shows it. One
line of JSON for each augmentation is added to benchmarks/results/augment.jsonl.
"""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2

from bare_step import bare_step
from convsmith.base.calls import split_list
from convsmith.base.config import kind_of, read
from convsmith.data.augment import augment, mix
from convsmith.data.augmentations import MIXING, Augment
from convsmith.data.preprocess import ImageInput
from convsmith.data.suit import principal_colors
from convsmith.nets.zoo import network
from convsmith.training.engine import Engine, resolve, using
from convsmith.training.options import EngineOptions
from pictures import Transformed, squares
from record import add_row, make_parser
from turns import seconds

BATCH, BATCHES, SIDE, CLASSES = 128, 20, 32, 10
RECORD = ImageInput(size=(SIDE, SIDE), mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))
BILINEAR = InterpolationMode.BILINEAR
MIXUP, CUTMIX = v2.MixUp(alpha=0.2, num_classes=CLASSES), v2.CutMix(num_classes=CLASSES)

# Each augmentation as `--augment` reads it, and torchvision's transform of the same strength where it has one.
ROWS: dict[str, Any] = {
    "flip": v2.RandomHorizontalFlip(),
    "vertical_flip": v2.RandomVerticalFlip(),
    "alternating_flip": None,
    "crop(4)": v2.RandomCrop(SIDE, padding=4),
    "crop(4, reflect)": v2.RandomCrop(SIDE, padding=4, padding_mode="reflect"),
    "translate(4)": v2.RandomAffine(0, translate=(0.125, 0.125)),
    "scale_crop(32, 60)": v2.Compose([v2.RandomResize(32, 61), v2.RandomCrop(SIDE)]),
    "resized_crop": v2.RandomResizedCrop(SIDE),
    "rotate": v2.RandomRotation(15, BILINEAR),
    "affine": v2.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), (-10, 10, -10, 10), BILINEAR),
    "elastic": v2.ElasticTransform(50.0, 4.0),
    "color_jitter": v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "lighting": None,
    "noise": v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.GaussianNoise(0, 0.05)]),
    "pixel_flip": None,
    "blur": v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], 0.5),
    "cutout(8)": None,
    "erase": v2.RandomErasing(0.5),
    "autoaugment": v2.AutoAugment(AutoAugmentPolicy.CIFAR10),
    "randaugment": v2.RandAugment(2, 9),
    "trivialaugment": v2.TrivialAugmentWide(),
    "augmix": v2.AugMix(),
    "mixup": MIXUP,
    "cutmix(probability=1)": CUTMIX,
}


def read_step(text: str, images: Tensor) -> Augment:
    """The record that a text names; lighting with the colors of the images."""
    if text == "lighting":
        deviations, components = principal_colors([images.numpy()])
        text = f"lighting(deviations={deviations}, components={components})"
    return read(tuple[Augment, ...], text, "augment")[0]  # type: ignore[arg-type]


def ours(images: Tensor, step: Augment, epoch: int, positions: Tensor) -> Tensor:
    """A batch augmented."""
    if isinstance(step, MIXING):
        return mix(images, (step,), 0, epoch, positions)[0]
    return augment(images, (step,), 0, epoch, positions, RECORD, samples=positions)


def our_pass(images: Tensor, step: Augment) -> Callable[[], None]:
    """All images once, in an order, batch by batch."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))

    def run() -> None:
        for begin in range(0, len(images), BATCH):
            ours(images[order[begin : begin + BATCH]], step, 0, torch.arange(begin, begin + BATCH))

    return run


def peer_pass(images: Tensor, transform: Any) -> Callable[[], None]:
    """All images once, from torchvision's transform in the workers of a `DataLoader`."""
    mixing, labels = transform in (MIXUP, CUTMIX), np.arange(len(images)) % CLASSES
    loader = DataLoader(
        Transformed(images.__getitem__, labels, v2.Identity() if mixing else transform),
        batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True,
        collate_fn=(lambda batch: transform(*_floats(default_collate(batch)))) if mixing else default_collate,
    )  # fmt: skip

    def run() -> None:
        for _ in loader:
            pass

    return run


def _floats(batch: Any) -> Any:
    # torchvision mixes what is in floating point.
    images, targets = batch
    return images.float() / 255, targets


def measure(
    text: str, images: Tensor, step: Callable[[], None], engine: Engine, rounds: int, peer: bool
) -> dict[str, Any]:
    """The numbers of one augmentation."""
    record, batch, positions = read_step(text, images), images[:BATCH], torch.arange(BATCH)
    epochs = iter(range(10**9))

    def one() -> None:
        ours(batch, record, next(epochs), positions)

    one(), one()
    pairs = [(seconds(one, engine, 5), seconds(step, engine, 2)) for _ in range(rounds)]
    row: dict[str, Any] = {
        "augment": kind_of(type(record)),
        "text": text,
        "milliseconds": round(1000 * statistics.median(a for a, _ in pairs), 3),
        "step_milliseconds": round(1000 * statistics.median(b for _, b in pairs), 2),
        "share_of_step": round(statistics.median(a / b for a, b in pairs), 4),
    }
    if peer and ROWS[text] is not None:
        mine, theirs = our_pass(images, record), peer_pass(images, ROWS[text])
        mine(), theirs()
        times = [(seconds(mine, engine), seconds(theirs, engine)) for _ in range(rounds)]
        row["images_per_second"] = round(len(images) / statistics.median(a for a, _ in times))
        row["torchvision_images_per_second"] = round(len(images) / statistics.median(b for _, b in times))
        row["times_torchvision"] = round(statistics.median(b / a for a, b in times), 2)
    return row


def main() -> None:
    parser = make_parser(__doc__, rounds=9)
    parser.add_argument("--only", type=split_list, default=list(ROWS), help="rows to measure: flip,'crop(4)'")
    parser.add_argument("--no-peer", action="store_true", help="leave torchvision out")
    values = parser.parse_args()
    engine = resolve(EngineOptions(device="cpu"))
    images = torch.from_numpy(squares(BATCH * BATCHES, SIDE)).permute(0, 3, 1, 2).contiguous()
    with using(engine):
        step = bare_step(engine, network("resnet20_cifar"), images[:BATCH], RECORD)
        seconds(step, engine, 5)
        for text in values.only:
            row = measure(text, images, step, engine, values.rounds, not values.no_peer)
            peer = f"  {row['times_torchvision']:6.1f} times torchvision" if "times_torchvision" in row else ""
            print(f"{text:24}{row['milliseconds']:8.2f} ms  {row['share_of_step']:7.2%} of a step{peer}", flush=True)
            add_row(values.results, "augment", row | {"rounds": values.rounds}, engine=engine)


if __name__ == "__main__":
    main()
