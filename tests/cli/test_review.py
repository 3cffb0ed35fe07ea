"""`review`: a network against design guidelines."""

from convsmith.nets.views.review import review
from convsmith.nets.zoo import network


def test_the_text(command):
    answer = command("review", "alexnet")
    assert answer.code == 0
    lines = answer.out.splitlines()
    findings = review(network("alexnet"))
    assert lines[0].startswith(
        f"alexnet, input 3x224x224: {len(findings)} findings (large filters 1, channels at bay 2, "
    )
    assert lines[4].split()[:5] == ["3", "channels", "at", "bay", "head.flatten"]
    assert lines[4].endswith("36.7M (60%)   36.7M (5%)")
    assert len(lines) == len(findings) + 6
    assert lines[-1].startswith("Each edit is priced alone")


def test_a_network_without_findings(command):
    assert command("review", "resnet50").out == "resnet50, input 3x224x224: no findings\n"


def test_json(command):
    answer = command("review", "vgg16", "--json").json
    assert list(answer) == ["network", "input", "params", "macs", "findings"]
    first = answer["findings"][0]
    assert list(first) == [
        "guideline", "name", "path", "measured", "limit", "what", "edit", "params_saved", "macs_saved",
    ]  # fmt: skip
    assert (first["name"], first["path"], first["params_saved"]) == ("channels at bay", "head.flatten", 100663296)


def test_options_shape_the_network(command):
    small = command("review", "resnet18", "--input", "3,32,32", "--json").json
    assert small["input"] == [3, 32, 32]
    assert [f["guideline"] for f in small["findings"] if f["guideline"] == 6] == [6]  # 435 of 32 pixels
    assert command("review", "resnet18", "--edit", "plain", "--json").code == 0


def test_own_trees_and_what_is_no_tree(command, refused, trees, here):
    assert command("review", f"{trees}:resnet8", "--classes", 3, "--channels", 3).code == 0
    assert refused("review", "torchvision:resnet18").startswith(
        "torchvision:resnet18 is not a convsmith network; it was imported from torchvision, so it cannot be reviewed"
    )
    assert refused("review").startswith("review: the following arguments are required: network")
