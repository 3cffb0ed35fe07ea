"""Design guidelines: good networks have few findings, and what an edit saves is what the edited tree costs less."""

from dataclasses import replace

import pytest

from convsmith.nets.cost import cost
from convsmith.nets.ops import AdaptiveAvgPool, Conv, Flatten, MaxPool
from convsmith.nets.tree import IDENTITY, Keep, Use, add, rewrite, seq
from convsmith.nets.views.review import DROP, FAR, GUIDELINES, SHARE, review
from convsmith.nets.zoo import NETWORKS, network

POOLED = seq(pool=AdaptiveAvgPool(1), flatten=Flatten())
SOME = [
    name for name in NETWORKS if not any(word in name for word in ("1202", "1001", "110", "164", "nasnet", "amoeba"))
]


def by_guideline(name, guideline):
    return [finding for finding in review(network(name)) if finding.guideline == guideline]


@pytest.mark.parametrize("name", SOME)
def test_findings_of_every_network_are_beyond_their_limits(name):
    findings = review(network(name))
    assert len(findings) < 40
    paths = {step.path for step in network(name).trace().steps}
    for finding in findings:
        assert finding.guideline in GUIDELINES
        assert finding.path in paths
        assert finding.measured >= finding.limit or (finding.guideline == 6 and finding.measured < 1)
        assert finding.what
        assert finding.edit


def test_good_networks_have_few_findings_and_old_ones_more():
    counts = {name: len(review(network(name))) for name in ("alexnet", "vgg16", "resnet50", "resnet18", "mobilenet_v2")}
    assert counts["resnet50"] == 0
    assert max(counts["resnet18"], counts["mobilenet_v2"]) <= 2
    assert min(counts["alexnet"], counts["vgg16"]) > 10


def test_the_largest_saving_comes_first():
    tree = network("vgg16")
    total = cost(tree)
    shares = [max((f.params_saved or 0) / total.params, (f.macs_saved or 0) / total.macs) for f in review(tree)]
    assert shares == sorted(shares, reverse=True)


def test_a_flatten_of_49_positions():
    first = review(network("vgg16"))[0]
    assert (first.guideline, first.path, first.measured) == (3, "head.flatten", 49)
    # 25,088 x 4,096 weights become 512 x 4,096
    assert first.params_saved == (25_088 - 512) * 4096
    assert first.macs_saved == first.params_saved


def test_savings_are_those_of_the_edited_tree():
    tree = network("alexnet")
    (finding,) = by_guideline("alexnet", 2)
    assert (finding.path, finding.measured) == ("stage2.conv2", 5)
    chain = seq(conv1=Conv(96, 3, padding=1), conv2=Conv(192, 3, padding=1))
    stages = tuple((n, rewrite(s, lambda p, x: chain if p == finding.path else x, n)) for n, s in tree.stages)
    before, after = cost(tree), cost(replace(tree, stages=stages))
    assert finding.params_saved == before.params - after.params
    assert finding.macs_saved == before.macs - after.macs


def test_filters_in_groups():
    found = {f.path: f for f in by_guideline("vgg16", 4)}
    conv = found["stage4.conv2"]
    # 9 C K dense against 9 C K / 32 in groups and K K to mix, at 28 x 28 positions
    assert conv.macs_saved == (9 * 512 * 512 - 9 * 512 * 512 // 32 - 512 * 512) * 28 * 28
    assert all(f.measured >= SHARE for f in found.values())


def test_low_rank():
    found = {f.path: f for f in by_guideline("vgg16", 5)}
    assert found["head.linear1"].params_saved == 25_088 * 4096 - 1024 * (25_088 + 4096)
    # 3 x 3 as 3 x 1 and 1 x 3 saves a third where the channels stay
    assert found["stage4.conv2"].macs_saved == 3 * 512 * 512 * 28 * 28


def test_growth():
    (finding,) = [f for f in by_guideline("alexnet", 3) if f.path == "stage2.conv2"]
    assert finding.measured == 3
    assert finding.macs_saved > 0


def test_a_tight_bottleneck_and_the_same_with_a_shortcut(one_stage):
    wide = {"wide": Conv(64, 3, padding=1)}
    squeeze = seq(narrow=Conv(4, 1), back=Conv(64, 3, padding=1))
    (finding,) = [f for f in review(one_stage(seq(**wide, unit=squeeze), (3, 16, 16))) if f.guideline == 1]
    assert (finding.path, finding.measured, finding.limit) == ("stage1.unit.narrow", 16, DROP)
    assert finding.params_saved < 0  # to widen it costs
    bridged = one_stage(seq(**wide, unit=add(branch=squeeze, shortcut=IDENTITY)), (3, 16, 16))
    assert not [f for f in review(bridged) if f.guideline == 1]


def test_pooling_without_more_channels_is_tight_and_with_twice_as_many_is_not(one_stage):
    def pooled(channels):
        stage = seq(conv1=Conv(32, 3, padding=1), pool=MaxPool(2, 2), conv2=Conv(channels, 3, padding=1))
        return [f.path for f in review(one_stage(stage, (3, 32, 32))) if f.guideline == 1]

    assert pooled(32) == ["stage1.conv2"]
    assert pooled(64) == []


def test_units_that_use_kept_values_are_no_bottlenecks(one_stage):
    stage = seq(conv=Conv(64, 3), keep=Keep("x"), small=seq(narrow=Conv(2, 1), out=seq(use=Use("x"), conv=Conv(64, 1))))
    assert not [f for f in review(one_stage(stage, (3, 16, 16))) if f.guideline == 1]


def test_the_receptive_field():
    (small,) = by_guideline("alexnet", 6)
    assert small.measured == pytest.approx(195 / 224)
    assert "291x291" in small.edit
    (far,) = by_guideline("resnet152", 6)
    assert far.measured > FAR
    assert far.macs_saved is None
    assert not by_guideline("resnet50", 6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_last_stage_is_dilated_over_any_axes(one_stage, axes):
    tree = one_stage(seq(conv=Conv(8, 3, padding=1), more=Conv(8, (3,) * axes)), (3, *(12,) * axes), POOLED)
    (finding,) = [f for f in review(tree) if f.guideline == 6]
    assert finding.measured == pytest.approx(5 / 12)
    assert f"then they see {'x'.join(['9'] * axes)}" in finding.edit
    assert (finding.params_saved, finding.macs_saved) == (0, 0)


def test_networks_without_maps(one_stage):
    assert review(one_stage(seq(flatten=Flatten()), (3, 4, 4))) == []
