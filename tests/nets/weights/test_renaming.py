"""Rules for other projects' names: forwards, and backwards to names that lead forwards again."""

import re

import pytest

from convsmith.nets.family import Renaming
from convsmith.nets.modules.build import build
from convsmith.nets.weights.peers import TIMM
from convsmith.nets.weights.renaming import original, renamed
from convsmith.nets.zoo import NETWORKS, network, renamings

RULES = Renaming(
    "them",
    (
        (r"(?:module\.)?conv1\.(.*)", r"stem.conv.\1"),
        (r"layer(\d+)\.(\d+)\.(?:downsample|shortcut)\.0\.(.*)", r"stage\1.unit<\2>.shortcut.conv.\3"),
        (r"(?:fc|linear)\.(.*)", r"head.linear.\1"),
        (r"odd[0-9]+\.(.*)", r"odd.\1"),
    ),
)


@pytest.mark.parametrize(
    ("theirs", "ours", "back"),
    [
        ("conv1.weight", "stem.conv.weight", "conv1.weight"),
        ("module.conv1.weight", "stem.conv.weight", "conv1.weight"),
        ("layer2.0.downsample.0.weight", "stage2.unit1.shortcut.conv.weight", "layer2.0.downsample.0.weight"),
        ("layer2.9.shortcut.0.weight", "stage2.unit10.shortcut.conv.weight", "layer2.9.downsample.0.weight"),
        ("linear.bias", "head.linear.bias", "fc.bias"),
        ("odd7.weight", "odd.weight", None),
        ("unheard.of", "unheard.of", None),
    ],
)
def test_there_and_back(theirs, ours, back):
    assert renamed(theirs, RULES) == ours
    assert original(ours, RULES) == back


def test_a_name_that_the_rules_would_read_otherwise_is_not_given():
    rules = Renaming("them", ((r"a\.(\d+)", r"first.\1"), (r"(\w+)\.(\d+)", r"\1.<\2>"), (r"a\.(\d)", r"second.\1")))
    assert original("first.3", rules) == "a.3"
    assert original("second.3", rules) == "second.2"  # by the second rule: the first one takes every `a`


# One network of each family that timm has too and whose family has rules for timm's names.
FIRST: dict[str, str] = {}
for name in TIMM:
    if any("timm" in renaming.source for renaming in renamings(network(name))):
        FIRST.setdefault(NETWORKS[name].family.name, name)
UNREADABLE = {"nasnet", "pnasnet"}  # `conv_?0` may be either; with timm installed its own names decide


@pytest.mark.parametrize("family", FIRST)
def test_rules_for_timms_names_read_backwards(family):
    """Each name of ours has one of theirs, and no two have the same."""
    keys = list(build(network(FIRST[family]), device="meta").state_dict())
    timms = [renaming for renaming in renamings(network(FIRST[family])) if "timm" in renaming.source]
    found = [{key: original(key, renaming) for key in keys} for renaming in timms]
    whole = [names for names in found if None not in names.values()]
    assert bool(whole) == (family not in UNREADABLE)
    for names in whole:
        assert len(set(names.values())) == len(keys)
        assert all(re.fullmatch(r"[\w.]+", name) for name in names.values())
