from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def cifar_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the binary files of CIFAR-10, 20 records in each."""
    folder = tmp_path_factory.mktemp("cifar") / "cifar"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        labels = (np.arange(20) % 10).astype(np.uint8)[:, None]
        pixels = random.integers(0, 256, (20, 3072), np.uint8)
        (folder / name).write_bytes(np.concatenate([labels, pixels], axis=1).tobytes())
    return folder


@pytest.fixture
def write_tree(tmp_path: Path) -> Callable[[str], Path]:
    """The tree of a network of the zoo as a JSON file."""

    def write(name: str) -> Path:
        from convsmith.base.files import write_json
        from convsmith.nets.zoo import network

        path = tmp_path / "tree.json"
        write_json(path, network(name).to_json())
        return path

    return write
