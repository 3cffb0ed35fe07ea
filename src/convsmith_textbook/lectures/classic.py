"""AlexNet, LeNet, ZFNet and VGG: parameters, MACs, activations, maps and stages, counted on trees."""

from convsmith.nets.cost import cost
from convsmith.nets.families.alexnet import alexnet
from convsmith.nets.families.vgg import vgg
from convsmith.nets.ops import Conv, MaxPool
from convsmith.nets.tree import walk
from convsmith.nets.zoo import network
from convsmith_textbook.lectures.entry import Entry, Figure, prints_as
from convsmith_textbook.lectures.networks import counts, named, weight_layers

MIB = 2**20
DRAWN_VGG16 = (2, 2, 2, 3, 3)  # the slide's "stage 3: conv-conv-pool"
_MAPS = "96x55x55 256x27x27 384x13x13 384x13x13 256x13x13"
_LENET = "6x28x28 6x14x14 16x10x10 16x5x5 120x1x1 84 10"


def complexity() -> dict[str, object]:
    """AlexNet and LeNet of "Dive into Deep Learning": weights without biases and MACs, layer by layer."""
    values: dict[str, object] = {}
    totals: dict[str, tuple[int, int]] = {}
    for name, tree in (("AlexNet", network("alexnet_d2l")), ("LeNet", network("lenet5_d2l"))):
        layers = [layer for layer in cost(tree).layers if layer.op in ("conv", "linear")]
        convs, dense = ([x for x in layers if x.op == op] for op in ("conv", "linear"))
        # The printed totals omit the last dense layer.
        groups = {
            "conv1": convs[:1],
            "conv2": convs[1:2],
            "conv3-5": convs[2:],
            "dense1": dense[:1],
            "dense2": dense[1:2],
        }
        groups["total"] = [x for group in groups.values() for x in group]
        for group, members in groups.items():
            parameters, macs = sum(x.params - x.output[0] for x in members), sum(x.macs for x in members)
            totals[name] = parameters, macs
            values |= {f"{name} {group}: parameters": parameters, f"{name} {group}: MACs": macs}
            if name == "LeNet":
                values |= {f"10 times {group}: parameters": 10 * parameters, f"10 times {group}: MACs": 10 * macs}
    (alex_params, alex_macs), (le_params, le_macs) = totals["AlexNet"], totals["LeNet"]
    return values | {
        "AlexNet / LeNet: parameters": alex_params / le_params,
        "AlexNet / LeNet: MACs": alex_macs / le_macs,
        "AlexNet's parameters / 10 times LeNet's MACs": alex_params / (10 * le_macs),
        "AlexNet's / 10 times LeNet's MACs, each to one digit": _one_digit(alex_macs) / _one_digit(10 * le_macs),
    }


def _one_digit(n: float) -> float:
    return float(f"{n:.0e}")


def drawn_alexnet() -> dict[str, object]:
    """AlexNet with a fifth convolution of 256 channels, and of 384 as the drawing labels it."""
    values: dict[str, object] = {}
    for width in (256, 384):
        numbers = cost(alexnet(widths=(96, 256, 384, 384, width), padding=0, grid=None))
        last = [layer for layer in numbers.layers if layer.op == "conv"][2:]
        values |= {f"MACs of conv3-5, fifth {width}": sum(layer.macs for layer in last)}
    return values


def alexnet_maps() -> dict[str, object]:
    """Maps and totals of CS231n's AlexNet, and of the paper's network in two columns."""
    tree = network("alexnet_cs231n")
    numbers, two = cost(tree), cost(network("alexnet_2012"))
    maps = [(x.op, "x".join(map(str, x.output))) for x in numbers.layers if x.op in ("conv", "max_pool", "linear")]
    convs_before = [sum(op == "conv" for op, _ in maps[:i]) for i, (op, _) in enumerate(maps) if op == "max_pool"]
    return {
        "maps of convolutions": " ".join(shape for op, shape in maps if op == "conv"),
        "maps of pools": " ".join(shape for op, shape in maps if op == "max_pool"),
        "linear layers": " ".join(shape for op, shape in maps if op == "linear"),
        "pools after convolution": tuple(convs_before),
        "parameters": numbers.params,
        "MACs": numbers.macs,
        "two columns: parameters": two.params,
        "two columns: MACs": two.macs,
    }


def zfnet_forms() -> dict[str, object]:
    """Sizes and widths of ZFNet's two forms."""
    values: dict[str, object] = {}
    for name in ("zfnet", "zfnet_512"):
        numbers = cost(network(name))
        convs, pools = ([x.output for x in numbers.layers if x.op == op] for op in ("conv", "max_pool"))
        values |= {
            f"{name}: sizes of convolutions": tuple(output[1] for output in convs),
            f"{name}: sizes of pools": tuple(output[1] for output in pools),
            f"{name}: widths of the last three": tuple(output[0] for output in convs[2:]),
        }
    return values


def lenet_forms() -> dict[str, object]:
    """LeNet-5 in three forms."""
    table, paper = cost(network("lenet5")), cost(network("lenet5_1998"))
    acts = {name: sum(x.op == "act" for x in cost(network(name)).layers) for name in ("lenet5", "lenet5_code")}
    c3 = "stage2.conv."
    maps = [x.output for x in table.layers if x.op in ("conv", "avg_pool", "linear")]
    return {
        "maps": " ".join("x".join(map(str, shape)) for shape in maps),
        "parameters": table.params,
        "activations, table": acts["lenet5"],
        "activations, code": acts["lenet5_code"],
        "1998: parameters": paper.params,
        "1998: parameters of C3": sum(x.params for x in paper.layers if x.name.startswith(c3)),
        "table: parameters of C3": next(x.params for x in table.layers if x.name == "stage2.conv"),
    }


def totals_compared() -> dict[str, object]:
    """AlexNet (one column) against VGG-16, and the VGG that the slide draws."""
    trees = {"AlexNet": network("alexnet"), "VGG-16": network("vgg16"), "as drawn": vgg(depths=DRAWN_VGG16)}
    priced = {name: cost(tree) for name, tree in trees.items()}
    values: dict[str, object] = {}
    for name, numbers in priced.items():
        values |= {f"{name}: parameters": numbers.params, f"{name}: MACs": numbers.macs}
        values |= {f"{name}: activations, MiB": numbers.activation_bytes / MIB}
    alex, deep, drawn = priced.values()
    return values | {
        "VGG-16 / AlexNet: parameters": deep.params / alex.params,
        "VGG-16 / AlexNet: MACs": deep.macs / alex.macs,
        "VGG-16 / AlexNet: activations": deep.activation_bytes / alex.activation_bytes,
        "as drawn / AlexNet: activations": drawn.activation_bytes / alex.activation_bytes,
        "as drawn / AlexNet: GMACs, each to one decimal": round(drawn.macs / 1e9, 1) / round(alex.macs / 1e9, 1),
    }


def vgg_layout() -> dict[str, object]:
    """The convolutions of each stage of VGG, with their kernel, stride and padding."""
    values: dict[str, object] = {}
    for name in ("vgg13", "vgg16", "vgg19"):
        tree = network(name)
        values[f"{name}: convolutions by stage"] = tuple(
            sum(isinstance(leaf, Conv) for _, leaf in walk(stage)) for _, stage in tree.stages
        )
    convs = [leaf for _, stage in network("vgg16").stages for _, leaf in walk(stage) if isinstance(leaf, Conv)]
    values["every convolution"] = " or ".join(
        {f"{c.kernel}x{c.kernel}, stride {c.stride}, padding {c.padding}" for c in convs}
    )
    return values


def depths() -> dict[str, object]:
    """The depths of networks: the number of layers with weights."""
    alex = network("alexnet_cs231n")
    pools = sum(isinstance(leaf, MaxPool) for _, stage in alex.stages for _, leaf in walk(stage))
    names = ("alexnet", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    counted = {name: weight_layers(network(name)) for name in names}
    return {**counted, "alexnet, with its pools": weight_layers(alex) + pools}


_TEN = "the printed cell is 10 times too large"
_DRAWN = "the slide draws stage 3 with two convolutions (2-2-2-3-3); VGG-16 has three (2-2-3-3-3)"


def _lenet(group: str, printed: tuple[str | None, str | None], counts: tuple[int, int]) -> list[Figure]:
    """LeNet's two cells of a row; a printed cell that differs shows 10 times the count."""
    figures: list[Figure] = []
    for what, text, count in zip(("parameters", "MACs"), printed, counts, strict=True):
        wrong = text is not None and not prints_as(text, count)
        reason = (_TEN, f"10 times {group}: {what}") if wrong else ("", "")
        figures.append(Figure(f"LeNet {group}: {what}", text, count, *reason))
    return figures


ENTRIES = {
    "complexity-table": Entry(
        title="AlexNet against LeNet by layer: weights without biases, and MACs",
        rows="1.8 1.9 9.4 10.1 11.3",
        lectures="residual layers",
        source="Dive into Deep Learning's forms of both; the totals leave the last dense layer out",
        compute=complexity,
        figures=(
            Figure("AlexNet conv1: parameters", "35K", 34_848),
            Figure("AlexNet conv1: MACs", "101M", 101_616_768),
            Figure("AlexNet conv2: parameters", "614K", 614_400),
            Figure("AlexNet conv2: MACs", "415M", 415_334_400),
            Figure("AlexNet conv3-5: parameters", "3M", 3_096_576),
            Figure("AlexNet conv3-5: MACs", "445M", 445_906_944),
            Figure("AlexNet dense1: parameters", "26M", 26_214_400),
            Figure("AlexNet dense1: MACs", "26M", 26_214_400),
            Figure("AlexNet dense2: parameters", "16M", 16_777_216),
            Figure("AlexNet total: parameters", "46M", 46_737_440),
            Figure("AlexNet total: MACs", "1G", 1_005_849_728),
            *_lenet("conv1", ("150", "1.2M"), (150, 117_600)),
            *_lenet("conv2", ("2.4K", "2.4M"), (2_400, 240_000)),
            *_lenet("dense1", ("0.48M", "0.48M"), (48_000, 48_000)),
            *_lenet("dense2", ("0.1M", "0.1M"), (10_080, 10_080)),
            *_lenet("total", ("0.6M", "4M"), (60_630, 415_680)),
            Figure(
                "AlexNet / LeNet: parameters",
                "11x",
                770.863,
                "11 is what 46M parameters over LeNet's printed 4M operations give",
                "AlexNet's parameters / 10 times LeNet's MACs",
            ),
            Figure(
                "AlexNet / LeNet: MACs",
                "250x",
                2419.77,
                "from totals that are 10 times too large for LeNet",
                "AlexNet's / 10 times LeNet's MACs, each to one digit",
            ),
        ),
    ),
    "drawn-alexnet": Entry(
        title="AlexNet's fifth convolution, labeled 384 in a drawing",
        rows="1.9 11.36",
        lectures="residual",
        compute=drawn_alexnet,
        figures=(
            Figure("MACs of conv3-5, fifth 256", "445M", 445_906_944),
            Figure("MACs of conv3-5, fifth 384", None, 509_607_936, "the table beside the drawing needs 256"),
        ),
    ),
    "alexnet-maps": Entry(
        title="AlexNet's maps on 227 pixels, one column and two",
        rows="1.10 1.12 1.14 10.2 11.17 11.18",
        lectures="convnets regularization",
        source="CS231n's full form; Krizhevsky et al. 2012",
        compute=alexnet_maps,
        figures=(
            Figure("maps of convolutions", _MAPS, _MAPS),
            Figure("maps of pools", "96x27x27 256x13x13 256x6x6", "96x27x27 256x13x13 256x6x6"),
            Figure("linear layers", "4096 4096 1000", "4096 4096 1000"),
            Figure(
                "pools after convolution",
                (2, 3, 5),
                (1, 2, 5),
                "so in the column beside VGG; the layer list of the same lecture pools after 1, 2 and 5",
            ),
            Figure("parameters", None, 62_378_344),
            Figure("MACs", None, 1_135_256_096),
            Figure("two columns: parameters", None, 60_965_224),
            Figure("two columns: MACs", None, 724_406_816),
        ),
    ),
    "zfnet-forms": Entry(
        title="ZFNet as drawn and as told",
        rows="1.15 11.12",
        lectures="convnets regularization",
        source="Zeiler and Fergus 2014, figure 3 and table 2; 11.7% is Clarifai's, the paper's six nets have 14.8%",
        compute=zfnet_forms,
        figures=(
            Figure("zfnet: sizes of convolutions", (110, 26, 13, 13, 13), (110, 26, 13, 13, 13)),
            Figure("zfnet: sizes of pools", (55, 13, 6), (55, 13, 6)),
            Figure("zfnet: widths of the last three", (384, 384, 256), (384, 384, 256)),
            Figure("zfnet_512: widths of the last three", (512, 1024, 512), (512, 1024, 512)),
        ),
    ),
    "vgg16-totals": Entry(
        title="VGG-16 against AlexNet",
        rows="1.11 1.18 9.3 10.2 11.1",
        lectures="convnets",
        source="Simonyan and Zisserman 2015, configuration D; torchvision's one-column AlexNet",
        compute=totals_compared,
        figures=(
            Figure("AlexNet: parameters", "61M", 61_100_840),
            Figure("AlexNet: MACs", "0.7G", 714_188_480),
            Figure("AlexNet: activations, MiB", "1.9", 1.88516),
            Figure("VGG-16: parameters", "138M", 138_357_544),
            Figure("VGG-16: MACs", "13.6G", 15_470_264_320, _DRAWN, "as drawn: MACs"),
            Figure("VGG-16: activations, MiB", "48.6", 51.7148, _DRAWN, "as drawn: activations, MiB"),
            Figure("VGG-16 / AlexNet: parameters", "2.3x", 2.26441),
            Figure(
                "VGG-16 / AlexNet: MACs", "19.4x", 21.6613, _DRAWN, "as drawn / AlexNet: GMACs, each to one decimal"
            ),
            Figure("VGG-16 / AlexNet: activations", "25x", 27.4325, _DRAWN, "as drawn / AlexNet: activations"),
        ),
    ),
    "vgg-layout": Entry(
        title="convolutions by stage in VGG-13, 16 and 19",
        rows="1.16 1.17 1.18 1.19 11.1 11.33",
        lectures="convnets regularization layers residual",
        source="Simonyan and Zisserman 2015, table 1",
        compute=vgg_layout,
        figures=(
            Figure("vgg13: convolutions by stage", (2, 2, 2, 2, 2), (2, 2, 2, 2, 2)),
            Figure("vgg16: convolutions by stage", (2, 2, 2, 3, 3), (2, 2, 3, 3, 3), "one is missing in stage 3"),
            Figure(
                "vgg19: convolutions by stage",
                (2, 2, 3, 4, 4),
                (2, 2, 4, 4, 4),
                "the slide gives it four in stages 4 and 5 only; a fourth belongs in stage 3 too",
            ),
            Figure("every convolution", None, "3x3, stride 1, padding 1"),
        ),
    ),
    "vgg-totals": Entry(
        title="parameters and MACs of VGG-13 and VGG-19",
        rows="1.17 1.19 10.2",
        lectures="convnets",
        compute=named("vgg13", "vgg19"),
        figures=counts(vgg13=(133_047_848, 11_308_466_176), vgg19=(143_667_240, 19_632_062_464)),
    ),
    "lenet-forms": Entry(
        title="LeNet-5 as table, as code and as published",
        rows="1.5 1.6 1.7 10.2 11.14 11.32",
        lectures="layers convnets regularization",
        source="LeCun et al. 1998, section II-B and table I",
        compute=lenet_forms,
        figures=(
            Figure("maps", _LENET, _LENET),
            Figure("parameters", None, 61_706),
            Figure("activations, table", None, 4),
            Figure("activations, code", None, 3, "the code leaves out the tanh after the third convolution"),
            Figure("table: parameters of C3", None, 2_416),
            Figure("1998: parameters of C3", None, 1_516, "the paper connects each map to some of the six only"),
            Figure("1998: parameters", None, 60_000),
        ),
    ),
    "network-depths": Entry(
        title="layers with weights, which are what a depth counts",
        rows="1.13 1.30 1.31 11.17 11.19",
        lectures="convnets recap residual",
        compute=depths,
        figures=(
            Figure("alexnet", "11", 8, "that count takes the three pools in", "alexnet, with its pools"),
            Figure("vgg16", "16", 16),
            Figure("vgg19", "19", 19),
            Figure("resnet18", "18", 18),
            Figure("resnet34", "34", 34),
            Figure("resnet50", "50", 50),
            Figure("resnet101", "101", 101),
            Figure("resnet152", "153", 152, "a slip: the same lectures say 152 elsewhere"),
        ),
    ),
}
