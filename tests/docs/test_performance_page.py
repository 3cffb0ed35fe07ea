"""The page of measurements is what its script writes from the benchmarks' results."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
MACHINE = {"python": "3.11", "torch": "2.14", "torchvision": "0.29", "threads": 2}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("performance_page", DOCS / "performance_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder: Path, benchmark: str, *rows: dict) -> None:
    lines = [json.dumps({**MACHINE, "benchmark": benchmark, **row}) for row in rows]
    (folder / f"{benchmark}.jsonl").write_text("\n".join(lines) + "\n")


def train_row(day: int, ours: float, cpu: str = "one", **more: object) -> dict:
    fixed = {"what": "resnet20", "network": "resnet20_cifar", "data": "cifar10", "peer": 100.0, "ratio": ours / 100}
    return {**fixed, "ours": ours, "cpu": cpu, "time": f"2026-01-{day:02}T00:00:00Z", **more}


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    assert (DOCS / "performance.md").read_text() == script.page(), "run: python docs/performance_page.py"


def test_every_file_of_results_has_a_table(script: ModuleType) -> None:
    files = {file.stem for file in script.RESULTS.glob("*.jsonl")}
    assert files
    # Faults on purpose have a page of their own, docs/reliability.md.
    assert files - {"faults"} <= {section.benchmark for section in script.SECTIONS}


def test_without_results_the_page_has_no_table(script: ModuleType, tmp_path: Path) -> None:
    assert script.page(tmp_path) == script.HEAD


def test_the_newest_row_of_each_machine_is_shown(script: ModuleType, tmp_path: Path) -> None:
    command = "python benchmarks/train.py"
    write(
        tmp_path, "train",
        train_row(3, 300.0, command=command), train_row(1, 150.0), train_row(2, 250.0, cpu="two", load=3.5),
    )  # fmt: skip
    lines = script.page(tmp_path).splitlines()
    table = [line for line in lines if "images/s |" in line]
    assert table == [
        "| resnet20_cifar, images of cifar10: images/s | 250 | 100 | 2.50 | two, 2 threads, load 3.5 "
        "| torch 2.14, torchvision 0.29, Python 3.11 | 2026-01-02 | not kept |",
        "| resnet20_cifar, images of cifar10: images/s | 300 | 100 | 3.00 | one, 2 threads "
        f"| torch 2.14, torchvision 0.29, Python 3.11 | 2026-01-03 | `{command}` |",
    ]


def test_losses_that_differ_are_said(script: ModuleType, tmp_path: Path) -> None:
    losses = {"loss": 2.0, "peer_loss": 2.5, "loss_spread": [0.1, 0.2], "loss_equal": False, "seeds": 3}
    write(tmp_path, "train", train_row(1, 300.0, **losses))
    (line,) = [line for line in script.page(tmp_path).splitlines() if "loss after" in line]
    assert line.split(" | ")[1:4] == ["2.000 ± 0.100", "2.500 ± 0.200", "not equal within 2% for each of 3 seeds"]


def test_growth_beyond_proportion_is_a_number(script: ModuleType, tmp_path: Path) -> None:
    slopes = {"time_slope": 1.3, "macs_slope": 1.0, "memory_slope": 0.9, "activations_slope": 1.0}
    row = {"what": "depth", "axis": "depth", "values": [20, 1202], "cpu": "one", "time": "2026-01-01T00:00:00Z"}
    point = {"what": "recompute 1", "axis": "recompute", "network": "resnet1202_cifar", "batch": 128, "cpu": "one"}
    point |= {"edits": ["recompute"], "failed": "not enough memory", "time": "2026-01-01T00:00:00Z"}
    write(tmp_path, "growth", {**row, **slopes}, point)
    text = script.page(tmp_path)
    assert "| depth from 20 to 1202: time for an image | 1.30 | 1.00 | +0.30 |" in text
    assert "| depth from 20 to 1202: memory | 0.90 | 1.00 | -0.10 |" in text
    assert "| resnet1202_cifar, batch 128, activations computed again | not enough memory |" in text
