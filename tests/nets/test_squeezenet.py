"""SqueezeNet: the paper's table 1, its bypasses, the form for small images."""

import pytest

from convsmith.nets.cost import cost
from convsmith.nets.families.squeezenet import FIRES
from convsmith.nets.tree import Add, walk
from convsmith.nets.zoo import edit, network

# Iandola et al. 2016, table 1 (version 1.0): output channels and size, and parameters before compression.
TABLE = {
    "fire2": (128, 54, 11_920), "fire3": (128, 54, 12_432), "fire4": (256, 54, 45_344),
    "fire5": (256, 27, 49_440), "fire6": (384, 27, 104_880), "fire7": (384, 27, 111_024),
    "fire8": (512, 27, 188_992), "fire9": (512, 13, 197_184),
}  # fmt: skip


def test_each_fire_module_of_table_1():
    tree = network("squeezenet1_0")
    steps = {step.path.rpartition(".")[2]: step for step in tree.trace().steps if ".fire" in step.path}
    layers = cost(tree).layers
    for name, (channels, side, params) in TABLE.items():
        shape = steps[name].y.shape
        assert (shape.channels, shape.spatial[0]) == (channels, side)
        assert sum(row.params for row in layers if f".{name}." in row.name) == params
    numbers = {row.name: row.params for row in layers}
    assert (numbers["stem.conv"], numbers["head.conv"]) == (14_208, 513_000)


def test_version_1_1_takes_less_than_half_the_work():
    assert cost(network("squeezenet1_0")).macs / cost(network("squeezenet1_1")).macs == pytest.approx(2.4, abs=0.1)


def sums(name):
    return [
        path.rpartition(".")[2]
        for stage, root in network(name).stages
        for path, node in walk(root, stage)
        if isinstance(node, Add)
    ]


def test_simple_bypass_goes_round_the_modules_that_keep_the_width():
    assert sums("squeezenet1_0_bypass") == ["fire3", "fire5", "fire7", "fire9"]


def test_complex_bypass_goes_round_all_with_four_convolutions():
    assert sums("squeezenet1_0_complex_bypass") == [f"fire{i}" for i in range(2, 10)]
    simple, complex_ = cost(network("squeezenet1_0_bypass")), cost(network("squeezenet1_0_complex_bypass"))
    widths = [96] + [2 * expanded for _, expanded in FIRES]
    wider = [(a, b, side) for a, b, side in zip(widths, widths[1:], (54, 0, 54, 0, 27, 0, 27, 0), strict=False) if side]
    assert wider == [(96, 128, 54), (128, 256, 54), (256, 384, 27), (384, 512, 27)]
    assert complex_.params - simple.params == sum(a * b + b for a, b, _ in wider)
    assert complex_.macs - simple.macs == sum(a * b * side**2 for a, b, side in wider)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_the_form_for_small_images_ends_at_4x4(name):
    ends = edit(network(name), "small_images").trace().stages
    assert [ends[part].shape.spatial[0] for part in ("stem", "stage1", "stage2", "stage3")] == [16, 16, 8, 4]
