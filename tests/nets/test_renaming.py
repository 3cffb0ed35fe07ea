"""Rules for other projects' names: forwards, and backwards to names that lead forwards again."""

import re

import pytest

from convsmith.nets.build import build
from convsmith.nets.family import Renaming
from convsmith.nets.renaming import original, renamed
from convsmith.nets.zoo import FAMILIES, NETWORKS, network

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


FIRST = {}
for name, row in NETWORKS.items():
    for renaming in row.family.renamings:
        FIRST.setdefault((row.family.name, renaming.source), []).append(name)


@pytest.mark.parametrize(("family", "source"), FIRST)
def test_rules_of_the_families_read_backwards_for_a_network_of_theirs(family, source):
    """For at least one network of the family each name of ours has one of theirs, and no two have the same."""
    rules = [renaming for renaming in FAMILIES[family].renamings if renaming.source == source]
    reasons = []
    for name in FIRST[family, source]:
        keys = list(build(network(name), device="meta").state_dict())
        for renaming in rules:
            theirs = [original(key, renaming) for key in keys]
            lacking = [key for key, found in zip(keys, theirs, strict=True) if found is None]
            if not lacking and len(set(theirs)) == len(keys):
                assert [renamed(key, renaming) for key in theirs] == keys
                assert not any(re.search(r"[\\(|?]", key) for key in theirs)
                return
            reasons.append(f"{name}: {lacking[:3]}")
    pytest.fail(f"{reasons}")
