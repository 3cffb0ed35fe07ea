"""Residual networks: stage tables, parameters and MACs, counted on trees."""

from convsmith.nets.cost import cost
from convsmith.nets.ops import Conv
from convsmith.nets.tree import Add, Branching, Node, walk
from convsmith.nets.zoo import network
from convsmith_textbook.lectures.entry import Entry, Figure
from convsmith_textbook.lectures.networks import counts, named

_GROUPED = ((128, 128, 256), (256, 256, 512), (512, 512, 1024), (1024, 1024, 2048))
_WIDTHS = ((64, 64, 256), (128, 128, 512), (256, 256, 1024), (512, 512, 2048))


def resnet50_stages() -> dict[str, object]:
    """ResNet-50's stage table, and the total with a bias in every convolution."""
    return stages("resnet50") | {"parameters, convolutions with biases": cost(network("resnet50_bias")).params}


def resnext50_stages() -> dict[str, object]:
    """ResNeXt-50's stage table."""
    return stages("resnext50_32x4d")


def stages(name: str) -> dict[str, object]:
    """Size, width and blocks of each stage of a residual network, and its totals."""
    tree = network(name)
    traced, numbers = tree.trace(), cost(tree)
    sizes = [traced.steps[0].y.shape, *(traced.stages[stage].shape for stage, _ in tree.stages[1:])]
    before = [tree.input, *(traced.stages[stage].shape for stage, _ in tree.stages)]
    units = [[unit for _, unit in _children(stage) if isinstance(unit, Add)] for _, stage in tree.stages[1:]]
    return {
        "sizes": tuple(shape.spatial[0] for shape in sizes),
        "blocks": tuple(len(stage) for stage in units),
        "widths of the convolutions": tuple(
            tuple(leaf.channels for _, leaf in walk(dict(stage[0].children)["branch"]) if isinstance(leaf, Conv))
            for stage in units
        ),
        "groups": tuple(max(leaf.groups for _, leaf in walk(stage[0]) if isinstance(leaf, Conv)) for stage in units),
        "stages whose first block halves": tuple(
            i for i in range(1, len(sizes)) if sizes[i].spatial < before[i].spatial
        ),
        "parameters": numbers.params,
        "MACs": numbers.macs,
    }


def _children(node: Node) -> tuple[tuple[str, Node], ...]:
    return node.children if isinstance(node, Branching) else ()


ENTRIES = {
    "resnet50-stages": Entry(
        title="ResNet-50's stage table",
        rows="1.31 1.32 1.33 10.2 10.7 11.21",
        lectures="residual layers",
        source="He et al. 2016, table 1; stride in the 3x3 convolution",
        compute=resnet50_stages,
        figures=(
            Figure("sizes", (112, 56, 28, 14, 7), (112, 56, 28, 14, 7)),
            Figure("blocks", (3, 4, 6, 3), (3, 4, 6, 3)),
            Figure("widths of the convolutions", _WIDTHS, _WIDTHS),
            Figure("parameters", "25.5M", 25_557_032),
            Figure("MACs", "4.1G", 4_089_184_256),
            Figure("parameters, convolutions with biases", None, 25_583_592, "as the lectures' code builds it"),
            Figure(
                "stages whose first block halves",
                (1, 2, 3, 4),
                (2, 3, 4),
                "a pool before stage 1 has halved already",
            ),
        ),
    ),
    "resnext50-stages": Entry(
        title="ResNeXt-50's stage table, 32 paths of 4 channels",
        rows="1.38 10.2 10.7",
        lectures="residual",
        source="Xie et al. 2017, table 1",
        compute=resnext50_stages,
        figures=(
            Figure("sizes", (112, 56, 28, 14, 7), (112, 56, 28, 14, 7)),
            Figure("blocks", (3, 4, 6, 3), (3, 4, 6, 3)),
            Figure("widths of the convolutions", _GROUPED, _GROUPED),
            Figure("groups", (32, 32, 32, 32), (32, 32, 32, 32)),
            Figure("parameters", "25.0M", 25_028_904),
            Figure("MACs", "4.2G", 4_230_479_872),
        ),
    ),
    "wide-and-grouped-totals": Entry(
        title="parameters and MACs of a wide ResNet and of ResNeXt-101",
        rows="1.37 1.40 10.2",
        lectures="recap regularization",
        source="torchvision, and Xie et al. 2017",
        compute=named("wide_resnet50_2", "resnext101_32x4d"),
        figures=(
            Figure("wide_resnet50_2: parameters", None, 68_883_240),
            Figure("wide_resnet50_2: MACs", None, 11_398_021_120),
            Figure("resnext101_32x4d: parameters", None, 44_177_704),
        ),
    ),
    "resnet-stride": Entry(
        title="where a bottleneck's stride stands changes the MACs",
        rows="1.31 10.2 11.20",
        lectures="residual layers",
        source="first 1x1: He et al. 2016; 3x3: torchvision, and the lectures' code",
        compute=named("resnet50", "resnet50_v1"),
        figures=counts(resnet50=(25_557_032, 4_089_184_256), resnet50_v1=(25_557_032, 3_857_973_248)),
    ),
    "resnet-totals": Entry(
        title="parameters and MACs of ResNet-18, 34, 101 and 152",
        rows="1.30 1.31 10.2",
        lectures="recap convnets",
        source="torchvision",
        compute=named("resnet18", "resnet34", "resnet101", "resnet152"),
        figures=counts(
            resnet18=(11_689_512, 1_814_073_344),
            resnet34=(21_797_672, 3_663_761_408),
            resnet101=(44_549_160, 7_801_405_440),
            resnet152=(60_192_808, 11_513_626_624),
        ),
    ),
    "cifar-resnet-totals": Entry(
        title="parameters and MACs of CIFAR's ResNets with padded shortcuts",
        rows="1.29 1.35 10.2",
        lectures="recap convnets regularization",
        source="He et al. 2016, table 6, prints 0.27M, 0.46M, 0.66M, 0.85M, 1.7M and 19.4M parameters",
        compute=named(*(f"resnet{depth}_cifar" for depth in (20, 32, 44, 56, 110, 1202))),
        figures=(
            Figure("resnet20_cifar: parameters", None, 269_722),
            Figure("resnet32_cifar: parameters", None, 464_154),
            Figure("resnet44_cifar: parameters", None, 658_586),
            Figure("resnet56_cifar: parameters", None, 853_018),
            Figure("resnet110_cifar: parameters", None, 1_727_962),
            Figure("resnet1202_cifar: parameters", None, 19_421_274),
        ),
    ),
}
