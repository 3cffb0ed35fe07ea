"""`show`: tables, JSON, pictures and what it refuses."""

import pytest

from convsmith.nets.cost import cost
from convsmith.nets.zoo import NETWORKS, network

TOTALS = [
    "network", "input", "params", "macs", "flops", "activation_bytes", "receptive_field", "auxiliary_params",
    "auxiliary_macs",
]  # fmt: skip


def test_json(command):
    answer = command("show", "resnet18", "--json").json
    assert list(answer) == [*TOTALS, "stages", "units", "layers", "siblings"]
    assert (answer["network"], answer["input"], answer["params"]) == ("resnet18", [3, 224, 224], 11689512)
    assert answer["flops"] == 2 * answer["macs"] == 2 * sum(layer["macs"] for layer in answer["layers"])
    for rows in (answer["stages"], answer["units"], answer["layers"]):
        assert answer["params"] == sum(row["params"] for row in rows)
        assert answer["activation_bytes"] == sum(row["activation_bytes"] for row in rows)
    assert (answer["receptive_field"], answer["auxiliary_params"]) == (435, 0)
    first = answer["layers"][0]
    assert first == {
        "name": "stem.conv", "op": "conv", "output": [64, 112, 112], "params": 9408, "macs": 118013952,
        "activation_bytes": 4 * 64 * 112 * 112, "receptive_field": 7, "auxiliary": False,
    }  # fmt: skip
    assert answer["stages"][1]["made_of"] == "[3x3 64; 3x3 64] x 2"
    assert [unit["name"] for unit in answer["units"]][2:4] == ["stage1.unit1", "stage1.unit2"]


def test_the_table_of_stages(command):
    text = command("show", "resnet18").out
    assert text.startswith("resnet18: basic blocks\ninput 3x224x224\n")
    assert "11,689,512  44.6 MiB as 32-bit floats" in text
    (row,) = [line for line in text.splitlines() if line.startswith("stage4 ")]
    assert row.split() == [
        "stage4", "[3x3", "512;", "3x3", "512]", "x", "2", "512x7x7", "5", "8,393,728", "411M", "490.0", "KiB", "435",
    ]  # fmt: skip


def test_units_and_layers(command):
    units = command("show", "resnext50_32x4d", "--units").out
    assert "stage2.unit4  1x1 256; 3x3 256 C=32; 1x1 512" in units
    layers = command("show", "resnet18", "--layers").out
    (row,) = [line for line in layers.splitlines() if line.startswith("stage4.unit2.branch.conv2")]
    assert row.split()[1:] == ["conv", "512x7x7", "2,359,296", "116M", "98.0", "KiB", "435"]


def test_siblings_with_their_differences(command):
    names = ("resnet50", "resnet50_v1")
    lines = command("show", names[0]).out.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("resnet50_v1 ")]
    assert row[1:3] == ["same", "-231M"]
    own, other = (cost(network(name)) for name in names)
    found = {row["network"]: row for row in command("show", names[0], "--json").json["siblings"]}
    assert found[names[1]]["more_macs"] == other.macs - own.macs == -231211008
    assert found[names[1]]["more_params"] == 0
    assert found[names[1]]["note"] == NETWORKS[names[1]].note


def test_auxiliary_heads_are_said_apart(command):
    name = next(name for name in NETWORKS if len(network(name).heads) > 1)
    numbers = cost(network(name))
    text = command("show", name).out
    assert "(training only)" in text
    (row,) = [line for line in text.splitlines() if line.startswith("auxiliary heads")]
    assert f"{numbers.auxiliary_params:,}" in row
    assert row.endswith("only in training")
    assert command("show", name, "--json").json["auxiliary_params"] == numbers.auxiliary_params > 0


def test_options_that_shape_the_network(command):
    changed = command(
        "show", "resnet18", "--classes", 10, "--channels", 1, "--stem", "small", "--size", 32, "--json"
    ).json
    assert changed["input"] == [1, 32, 32]
    assert changed["layers"][0]["output"] == [64, 32, 32]
    assert changed["layers"][-1]["output"] == [10]
    assert "edits: drop_path(0.2)" in command("show", "resnet20_cifar", "--edit", "drop_path=0.2").out


NO_TREE = "torchvision:resnet18 is not a convsmith network; it was imported from torchvision"


@pytest.mark.parametrize("sizes", ["64", "64,48", "16,64,48"])
def test_another_input_for_the_network_as_it_is(command, sizes):
    answer = command("show", "resnet18", "--input", f"3,{sizes}", "--json").json
    assert answer["input"] == [3, *map(int, sizes.split(","))]
    assert answer["layers"][0]["output"][1:] == [n // 2 for n in answer["input"][1:]]
    two = command("show", "resnet18", "--input", "4x64x48", "--json").json
    assert two["params"] == 11689512 + 7 * 7 * 64
    assert two["macs"] == cost(network("resnet18"), (4, 64, 48)).macs


def test_own_trees_modules_and_torchvision(command, trees, modules, photo_run, here):
    own = command("show", f"{trees}:dropping", "--classes", 3, "--channels", 3, "--json").json
    assert own["input"] == [3, 12, 12]
    module = command("show", f"{modules}:make", "--classes", 3, "--channels", 3, "--size", 12, "--json").json
    assert (module["params"], module["receptive_field"], module["stages"]) == (201, None, [])
    assert sum(layer["macs"] for layer in module["layers"]) == module["macs"] > 0
    theirs, ours = command("show", "torchvision:resnet18", "--json").json, command("show", "resnet18", "--json").json
    assert (theirs["params"], theirs["macs"]) == (ours["params"], ours["macs"])
    assert command("show", "torchvision:resnet18", "--input", "3,64,64", "--plot", "bars.svg", "--json").code == 0
    assert "layer4" in (here / "bars.svg").read_text()
    run = command("show", photo_run[0], "--json").json
    assert (run["input"], run["layers"][-1]["output"]) == ([3, 12, 12], [3])


def test_pictures_and_a_tree_that_can_be_named(command, here):
    words = ("--svg", "stages.svg", "--plot", "bars.svg", "--draw", "tree.svg", "--tree", "tree.json")
    answer = command("show", "resnet20_cifar", *words, "--json")
    assert answer.code == 0
    assert answer.err.splitlines() == [
        "drawn into bars.svg", "drawn into tree.svg", "drawn into stages.svg", "tree written to tree.json",
    ]  # fmt: skip
    assert all((here / name).read_text().startswith("<svg") for name in ("stages.svg", "bars.svg", "tree.svg"))
    assert "Activation memory" in (here / "bars.svg").read_text()
    assert "padded shortcut" in (here / "tree.svg").read_text()
    again = command("show", "tree.json", "--json").json
    assert again["layers"] == answer.json["layers"]
    assert command("compare", "tree.json", "resnet20_cifar", "--json").json[0]["params"] == answer.json["params"]


def test_the_deepest_network_is_shown_by_its_repeats(command):
    assert "[3x3 16; 3x3 16] x 200" in command("show", "resnet1202_cifar").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["resnet18", "--plot", "bars.png"],
            "show: argument --plot: files of the kind '.png' cannot be written; expected",
        ),
        (
            ["resnet18", "--draw", "picture"],
            "show: argument --draw: the file has no ending; expected a name that ends in .svg",
        ),
        (["resnet18", "--svg", "no/a.svg"], "no/a.svg: there is no folder no to write it into; make it first"),
        (["resnet18", "--tree", "no/a.json"], "no/a.json: there is no folder no to write it into; make it first"),
        (["resnet18", "--units", "--layers"], "show: argument --layers: not allowed with argument --units"),
        (["resnet18", "--input", "32"], "show: argument --input: expected channels and 1 to 3 sizes, such as 3,32,32"),
        (["resnet18", "--input", "3,0,1"], "show: argument --input: expected channels and 1 to 3 sizes"),
        (["resnet18", "--input", "3,9,9", "--size", "9"], "--input gives channels and size already; leave out --size"),
        (["vgg16", "--input", "3,8,8"], "stage4.pool"),
        (["torchvision:resnet18", "--svg", "a.svg"], f"{NO_TREE}, so --svg is not available"),
        (["torchvision:resnet18", "--units"], f"{NO_TREE}, so --units is not available"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(words, message, refused, here):
    assert refused("show", *words).startswith(message)


def test_a_folder_in_the_place_of_a_picture(refused, here):
    (here / "a.svg").mkdir()
    assert refused("show", "lenet5", "--plot", "a.svg") == "a.svg: is a folder; expected the name of a file"


def test_what_the_system_will_not_write(refused, here):
    name = "a" * 300 + ".svg"
    message = refused("show", "lenet5", "--draw", name, code=1)
    assert message.startswith(f"{name}: could not be written (File name too long)")


def test_sizes_of_three_axes_and_numbers_of_trees_from_files(command, tmp_path, monkeypatch):
    assert command("show", "r3d_18", "--size", 32, "--json").json["input"] == [3, 32, 32, 32]
    monkeypatch.chdir(tmp_path)
    assert command("show", "lenet5", "--tree", "le.json").code == 0
    assert command("show", "le.json", "--classes", 7, "--json").json["layers"][-1]["output"] == [7]
    (tmp_path / "bad.py").write_text("def make():\n    raise KeyError('x')\n")
    answer = command("show", "bad.py:make")
    assert (answer.code, answer.err) == (1, "convsmith: bad.py: make failed: KeyError: 'x'\n")
    answer = command("show", "torchvision:resnet18", "--channels", 1)
    assert answer.code == 2
    assert answer.err.startswith(f"convsmith: {NO_TREE}, so it keeps its 3 channels; name ours without torchvision: ")
