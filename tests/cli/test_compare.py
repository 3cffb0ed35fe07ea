"""`compare`: networks side by side, as a table and as charts."""

import pytest

from convsmith.nets.views.accuracies import ACCURACIES, WINNERS


def test_json(command):
    rows = command("compare", "alexnet", "vgg16", "resnet50_v1", "--json").json
    assert [row["network"] for row in rows] == ["alexnet", "vgg16", "resnet50_v1"]
    assert list(rows[0]) == [
        "network", "input", "params", "macs", "flops", "activation_bytes", "receptive_field", "auxiliary_params",
        "auxiliary_macs", "published",
    ]  # fmt: skip
    assert rows[0]["published"] == {
        "top1": 56.522, "top5": 79.066, "size": 224, "source": "torchvision's IMAGENET1K_V1 weights",
    }  # fmt: skip
    assert rows[2]["published"] is None


def test_the_table_is_measured_against_the_first(command):
    lines = command("compare", "alexnet", "vgg16").out.splitlines()
    assert "2.26x" in lines[3]
    assert lines[3].endswith("71.6%")


def test_an_edited_network_has_no_published_accuracy(command):
    for words in (["--classes", "10"], ["--edit", "drop_path=0.1"], ["--size", "160"], ["--input", "3,192,192"]):
        rows = command("compare", "resnet18", "resnet34", *words, "--json").json
        assert [row["published"] for row in rows] == [None, None]


def test_patterns_stand_for_what_they_match(command):
    rows = command("compare", "alexnet", "vgg1?", "vgg11", "--json").json
    assert [row["network"] for row in rows] == ["alexnet", "vgg11", "vgg13", "vgg16", "vgg19"]


def test_charts(command, here):
    words = ("--bars", "bars.svg", "--bubbles", "bubbles.svg", "--winners", "winners.svg")
    answer = command("compare", "alexnet", "vgg16", "vgg19", "resnet50_v1", *words)
    assert answer.err.splitlines() == ["drawn into winners.svg", "drawn into bars.svg", "drawn into bubbles.svg"]
    bars, bubbles, winners = ((here / f"{name}.svg").read_text() for name in ("bars", "bubbles", "winners"))
    assert "51.7 MiB (27x)" in bars
    assert "138M (2.3x)" in bars
    assert ">vgg19<" in bubbles
    assert "resnet50_v1" not in bubbles  # nothing is published for it
    assert bubbles.count('stroke-opacity="0.7"') == 1  # VGG has a line, AlexNet is alone
    assert all(f"{winner.error:g}%" in winners for winner in WINNERS)
    assert "152 layers" in winners


def test_the_winners_need_no_network(command, here):
    answer = command("compare", "--winners", "winners.svg")
    assert (answer.code, answer.out, answer.err) == (0, "", "drawn into winners.svg\n")
    assert command("compare", "--winners", "winners.svg", "--json").json == []


def test_all_networks_with_a_published_accuracy(command, here):
    rows = command("compare", *ACCURACIES, "--bubbles", "all.svg", "--json").json
    assert all(row["published"] for row in rows)
    drawing = (here / "all.svg").read_text()
    assert [name for name in ACCURACIES if f">{name}<" not in drawing] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "compare: expected two different networks or more; for a single one there is: convsmith show"),
        (["alexnet"], "compare: expected two different networks or more; for a single one there is: convsmith show"),
        (["alexnet", "resmet*"], "unknown network 'resmet*'"),
        (
            ["alexnet", "vgg16", "--bars", "a.png"],
            "compare: argument --bars: files of the kind '.png' cannot be written",
        ),
        (["alexnet", "vgg16", "--bubbles", "no/a.svg"], "no/a.svg: there is no folder no to write it into"),
        (["lenet5", "lenet5_d2l", "--bubbles", "a.svg"], "--bubbles: no published accuracy is known for any of these"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(words, message, refused, here):
    assert refused("compare", *words).startswith(message)
