"""Prices that are remembered are those that would be counted."""

import json
from pathlib import Path

import pytest

from convsmith.base.files import cache_folder
from convsmith.nets import prices as module
from convsmith.nets.cost import cost
from convsmith.nets.prices import MEMORY, Price, prices
from convsmith.nets.zoo import network

NAMES = ("lenet5", "resnet20_cifar")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))


def prices_file() -> Path:
    return cache_folder() / MEMORY


def test_prices_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = prices(NAMES)
    numbers = cost(network("resnet20_cifar"))
    assert first["resnet20_cifar"] == Price("resnet_cifar", numbers.params, numbers.macs, (3, 32, 32))
    monkeypatch.setattr(module, "network", None)
    assert prices(NAMES) == first
    with pytest.raises(TypeError):
        prices(["alexnet"])


@pytest.mark.parametrize("content", ["", "[]", '{"prices": 3}', '{"prices": {"code": "x"}}', "ROWS", "NUMBER"])
def test_a_damaged_memory_is_no_memory(content: str) -> None:
    found = prices(NAMES)
    stored = json.loads(prices_file().read_text())
    if content == "ROWS":
        stored["prices"]["networks"]["lenet5"] = 3
        content = json.dumps(stored)
    if content == "NUMBER":
        stored["prices"]["networks"]["lenet5"]["macs"] = "many"
        content = json.dumps(stored)
    prices_file().write_text(content)
    assert prices(NAMES) == found
    assert json.loads(prices_file().read_text())["prices"]["networks"].keys() == set(NAMES)


def test_other_code_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    found = prices(["lenet5"])
    stored = json.loads(prices_file().read_text())
    stored["prices"]["networks"]["lenet5"]["macs"] += 1
    prices_file().write_text(json.dumps(stored))
    assert prices(["lenet5"])["lenet5"].macs == found["lenet5"].macs + 1, "remembered, as long as the code is the same"
    monkeypatch.setattr(module, "_code", lambda: "another")
    assert prices(["lenet5"]) == found
    assert json.loads(prices_file().read_text()).keys() == {"prices"}, "prices of older code do not pile up"


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert prices(["lenet5"])["lenet5"].params == cost(network("lenet5")).params
