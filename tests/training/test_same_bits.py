"""The same training twice has the same bits, in processes of their own and however its images are fed."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run

CHOICES = (
    ("--optimizer.kind", ("sgd", "adam", "adamw", "rmsprop", "lamb", "muon")),
    ("--augment", ("none", "crop(2),flip", "crop(2),flip,mixup(0.2)", "cutout(4)")),
    ("--optimizer.accumulate", ("1", "2")),
    ("--optimizer.average", ("none", "ema(0.8)")),
    ("--data.sampling", ("natural", "balanced")),
    ("--seed", ("0", "7")),
)
# What may not change a bit: how images are fed, and how much is in memory.
FED = (
    ("--data.loader", ("resident", "streaming")), ("--workers", ("0", "1", "2", "4")), ("--data.cache", ("off", "on")),
)  # fmt: skip


def drawn(dice: random.Random, choices: Any) -> list[str]:
    return [word for name, values in choices for word in (name, dice.choice(values))]


def bits(path: Path) -> str:
    saved = load_checkpoint(open_run(path))
    found = hashlib.sha256(json.dumps(open_run(path).record("result")["metrics"], sort_keys=True).encode())
    for name, tensor in [*sorted(saved.model.items()), *sorted(saved.state.items())]:
        found.update(name.encode() + str(tensor.dtype).encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def test_the_same_training_twice(
    forks: Any, trees: Path, pictures: Path, tmp_path: Path, many: Callable[[int, int], int]
) -> None:
    dice = random.Random(25)
    for pair in range(many(2, 20)):
        words = ["train", f"{trees}:dropping", "--data", pictures, "--epochs", "2", "--batch", "8", "--lr", "0.01"]
        words += [
            "--precision",
            "fp32",
            "--engine.threads",
            "1",
            "--device",
            "cpu",
            "--quiet",
            "--json",
            "--explosion",
            "0",
        ]
        words += drawn(dice, CHOICES)
        ways = [drawn(dice, FED), drawn(dice, FED)]
        paths = [tmp_path / f"{pair}-{which}" for which in ("one", "two")]
        for path, way in zip(paths, ways, strict=True):
            assert forks.start(*words, *way, "--out", path).wait() == 0, forks.log.read_text()
        assert bits(paths[0]) == bits(paths[1]), (words, ways)
