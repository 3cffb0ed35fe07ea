"""Networks in JSON that no machine has room for: refused before anything is made."""

import dataclasses as dc
import time

import pytest

from convsmith.base.errors import ConvsmithError, UsageError
from convsmith.nets import limits
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import OPERATORS
from convsmith.nets.zoo import network

HOSTILE = (
    None,
    "x",
    "",
    -1,
    0,
    0.5,
    10**9,
    2**31,
    2**70,
    10**400,
    1e300,
    [],
    [1, 2, 3, 4, 5],
    [2**70],
    {},
    True,
    "9" * 9999,
)


def tree(**fields: object) -> dict:
    """One operator of images (3, 8, 8), a flattening and a linear layer."""
    head = {"op": "seq", "children": {"flat": {"op": "flatten"}, "out": {"op": "linear", "channels": 2}}}
    return {
        "format": 1, "name": "hostile", "family": "own", "numbers": {}, "input": [3, 8, 8], "init": "torch",
        "edits": [], "stages": {"stage": {"op": "seq", "children": {"one": fields}}}, "heads": {"head": head},
    }  # fmt: skip


def said(data: dict) -> str:
    """What is wrong with a network, nothing where it can be made; any other error than ours is the test's."""
    try:
        build(Network.from_json(data), seed=0)
    except ConvsmithError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"channels": 10**9},
            r"hostile: its 132,000,000,002 parameters take 491\.7 GiB, and this machine has 8\.0 GiB of",
        ),
        (
            {"channels": 8, "kernel": 10**9, "padding": 10**9},
            r"its .* parameters take .*, and this machine has 8",
        ),
        (
            {"channels": 8, "kernel": 2**70},
            r"stage\.one\.kernel: expected at most 2,147,483,647, received 11805916",
        ),
        ({"channels": 8, "stride": 2**70}, r"stage\.one\.stride: expected at most 2,147,483,647"),
        ({"channels": 2**31}, r"stage\.one\.channels: expected at most 2,147,483,647, received 2147483648"),
    ],
)
def test_a_convolution_that_no_machine_holds(fields: dict, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 8 * 2**30)
    with pytest.raises(UsageError, match=says):
        build(Network.from_json(tree(op="conv", **fields)), seed=0)


def test_an_output_that_no_machine_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators without parameters make images larger."""
    monkeypatch.setattr(limits, "memory", lambda: 8 * 2**30)
    says = r"hostile: the 19,200,000,000 numbers that stage.one gives for one image take 71.5 GiB, and this machine has"
    data = tree(op="upsample", scale=10_000)
    data["heads"]["head"]["children"] = {"pool": {"op": "adaptive_avg_pool"}, "flat": {"op": "flatten"}}
    with pytest.raises(UsageError, match=says):
        build(Network.from_json(data), seed=0)


def test_the_machines_memory_is_a_number_of_bytes() -> None:
    assert 2**28 < limits.memory() < 2**50


def test_many_nodes_and_deep_ones() -> None:
    data = tree(op="act")
    data["stages"]["stage"]["children"] = {f"c{n}": {"op": "act"} for n in range(20_001)}
    with pytest.raises(UsageError, match=r"^hostile: has [0-9,]+ nodes; expected at most 20,000$"):
        Network.from_json(data)
    inner: dict = {"op": "act"}
    for _ in range(900):
        inner = {"op": "seq", "children": {"c": inner}}
    with pytest.raises(UsageError, match=r"the tree is nested deeper than 64$"):
        Network.from_json(tree() | {"stages": {"s": inner}})
    numbers: list = []
    for _ in range(100_000):
        numbers = [numbers]
    with pytest.raises(UsageError, match=r"^the network's numbers are nested too deep to be read$"):
        Network.from_json(tree(op="act") | {"numbers": {"a": numbers}})
    while numbers:  # by itself Python would take it apart recursively
        numbers = numbers.pop()


def test_five_thousand_layers_are_read_and_priced_at_once() -> None:
    data = tree(op="act")
    layer = {"op": "conv", "channels": 4, "kernel": 3, "padding": 1}
    data["stages"]["stage"]["children"] = {f"c{n}": layer for n in range(5000)}
    began = time.process_time()
    Network.from_json(data).trace()
    assert time.process_time() - began < 5


@pytest.mark.parametrize("op", OPERATORS)
def test_hostile_fields_of_every_operator_end_in_our_errors(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 2**26)
    names = [field.name for field in dc.fields(OPERATORS[op])]
    needed = {"channels": 4, "before": 1, "after": 1, "kernel": 1, "index": 0, "groups": 1, "drop": 0.1, "factor": 2.0}
    base = {name: value for name, value in needed.items() if name in names}
    if op == "take":
        base["channels"] = [0, 1]
    for name in names:
        for value in HOSTILE:
            data = tree(op=op, **base)
            data["stages"]["stage"]["children"]["one"][name] = value
            assert len(said(data)) < 1500, (name, str(value)[:50])


@pytest.mark.parametrize("field", network("lenet5").to_json())
def test_hostile_fields_of_a_network_end_in_our_errors(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 2**28)
    for value in HOSTILE:
        data = network("lenet5").to_json() | {field: value}
        assert len(said(data)) < 1500
