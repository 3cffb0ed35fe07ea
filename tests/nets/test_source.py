"""Networks given as a name, a user's file, torchvision's or JSON."""

import json
import textwrap

import pytest
import torch
import torchvision

from convsmith.base import user_code
from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError
from convsmith.base.files import write_json
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign, found, is_network_name, make, open_network
from convsmith.nets.zoo import network


@pytest.fixture
def user_file(tmp_path):
    def write(source, name="my_net.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return path

    return write


def given(text, **numbers):
    """What `text` names, as for a user who typed it."""
    user_code.give(text)
    return open_network(text, **numbers)


MODULE = """
    from torch import nn

    def make(classes=10, channels=3):
        return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.LazyLinear(classes))

    def _hidden():
        return nn.Identity()

    def needing(classes, depth, *rest, width, **more):
        return nn.Identity()

    def text():
        return "no module"

    def failing():
        raise RuntimeError("of its own")

    def everything(**numbers):
        return nn.Linear(numbers["channels"], numbers["classes"])

    constant = 3
"""


def test_a_name_of_the_zoo():
    assert open_network("resnet18", classes=4) == network("resnet18", classes=4)
    with pytest.raises(UnknownName, match=r"^unknown network 'resnet19'; nearest: resnet1"):
        open_network("resnet19")


def test_a_users_module(user_file):
    path = user_file(MODULE)
    opened = given(f"{path}:make", classes=7, channels=1, size=28)
    assert isinstance(opened, Foreign)
    assert opened.arguments == {"classes": 7, "channels": 1}
    assert opened.source == f"{path}:make"
    assert opened.name == "my_net.py:make"
    module = make(opened)
    assert isinstance(module, torch.nn.Module)
    assert module(torch.ones(2, 1, 8, 8)).shape == (2, 7)
    assert opened.to_json() == {
        "source": f"{path}:make",
        "arguments": opened.arguments,
        "fingerprint": opened.fingerprint,
    }
    assert Foreign.from_json(json.loads(json.dumps(opened.to_json()))) == opened


def test_a_maker_that_takes_anything_gets_all_numbers(user_file):
    opened = given(f"{user_file(MODULE)}:everything", classes=7, channels=1, size=28)
    assert opened.arguments == {"classes": 7, "channels": 1, "size": 28}


def test_a_users_tree_is_a_network(user_file):
    path = user_file("""
        from convsmith.nets.zoo import edit, network

        def make(classes=10):
            return edit(network("resnet20_cifar", classes=classes), "plain")
    """)
    opened = given(f"{path}:make", classes=3)
    assert isinstance(opened, Network)
    assert opened.classes == 3


def test_a_users_file_may_import_its_neighbors_and_define_classes(user_file):
    user_file("WIDTH = 5", "convsmith_test_neighbor.py")
    path = user_file("""
        from __future__ import annotations
        from dataclasses import dataclass
        from torch import nn
        from convsmith_test_neighbor import WIDTH

        @dataclass
        class Options:
            width: int = WIDTH

        def make():
            return nn.Linear(Options().width, 2)
    """)
    assert make(given(f"{path}:make")).in_features == 5


def test_a_path_relative_to_the_working_directory_is_made_absolute(user_file, monkeypatch):
    path = user_file(MODULE)
    monkeypatch.chdir(path.parent)
    assert given("my_net.py:make").source == f"{path}:make"


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("mkae", "unknown function in {path}: 'mkae'; nearest: make"),
        ("_hidden", "unknown function in {path}: '_hidden'; "),
        ("constant", "unknown function in {path}: 'constant'; "),
        ("needing", "{path}:needing needs depth, width, and only classes, size can be given; set defaults"),
        ("text", "{path}:text gave a str; expected a torch.nn.Module or a Network"),
    ],
)
def test_a_users_function_that_does_not_serve(function, text, user_file):
    path = user_file(MODULE)
    with pytest.raises(UsageError) as error:
        given(f"{path}:{function}", classes=2, size=8)
    assert str(error.value).startswith(text.format(path=path))


def test_what_a_users_function_raises_names_its_file_and_stays_the_cause(user_file):
    with pytest.raises(BadFile, match=r"failing failed: RuntimeError: .*of its own") as error:
        given(f"{user_file(MODULE)}:failing")
    assert isinstance(error.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def make(:\n", "could not be run: SyntaxError: "),
        ("import no_such_library", "could not be run: ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 / 0", "could not be run: ZeroDivisionError: division by zero"),
    ],
)
def test_a_users_file_that_does_not_run_is_named(source, text, user_file):
    path = user_file(source)
    with pytest.raises(BadFile) as error:
        given(f"{path}:make")
    assert str(error.value).startswith(f"{path}: {text}")


def test_files_that_are_missing_or_say_no_function(tmp_path):
    with pytest.raises(
        MissingPath, match=r"none\.py: no such file; a network of your own is given as file\.py:function$"
    ):
        open_network(f"{tmp_path}/none.py:make")
    with pytest.raises(UsageError, match=r"my\.py: say which function makes the network: my\.py:make$"):
        open_network("my.py")
    with pytest.raises(MissingPath, match=r"none\.json: no such file$"):
        open_network(f"{tmp_path}/none.json")


def test_a_changed_file_is_noticed(user_file):
    path = user_file(MODULE)
    opened = given(f"{path}:make")
    assert found(opened) == opened
    stated = opened.fingerprint
    path.write_text(path.read_text() + "\n")
    foreign = Foreign(opened.source, opened.arguments, "0" * 64)
    with pytest.raises(BadFile) as error:
        found(foreign)
    now = user_code.fingerprint(path)
    assert str(error.value) == (
        f"{path}: has changed since the run was made with it (SHA-256 {now}, was {'0' * 64}); put that version back to "
        "use the run"
    )
    path.unlink()
    with pytest.raises(MissingPath) as error:
        found(foreign)
    assert str(error.value) == (
        f"{path}: the file that makes a network is gone (SHA-256 {'0' * 64}); put it back, or say where it is now: "
        "trust_code='PATH.py:make'"
    )
    assert stated != now


def test_a_file_that_lies_elsewhere_is_found_by_its_content(user_file, tmp_path):
    path = user_file(MODULE)
    opened = given(f"{path}:make", classes=3)
    moved = tmp_path / "elsewhere.py"
    path.rename(moved)
    user_code.give(f"{moved}:make")
    assert found(opened).source == f"{moved}:make"
    assert make(opened)[0].out_channels == 4


def test_a_tree_in_json(tmp_path):
    tree = network("resnet20_cifar", classes=4)
    write_json(tmp_path / "tree.json", tree.to_json())
    assert open_network(f"{tmp_path}/tree.json") == tree


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"format": 1', "expected JSON, could not read it"),
        ("\x80", "expected JSON, could not read it"),
        ("[]", "expected a network as a JSON object, received []"),
        ('{"format": 1}', "the network lacks 'name'"),
        ("[" * 100_000, "expected JSON, could not read it"),
    ],
)
def test_json_that_is_no_tree_is_named(text, problem, tmp_path):
    path = tmp_path / "tree.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadFile) as error:
        open_network(str(path))
    assert str(error.value).startswith(f"{path}: {problem}")


def test_torchvisions_networks():
    opened = open_network("torchvision:squeezenet1_1", classes=7, channels=3, size=64)
    assert opened == Foreign("torchvision:squeezenet1_1", {"num_classes": 7})
    assert opened.name == "torchvision:squeezenet1_1"
    assert found(opened) == opened
    module = make(opened)
    assert isinstance(module, torchvision.models.SqueezeNet)
    assert module(torch.ones(1, 3, 64, 64)).shape == (1, 7)


def test_torchvisions_unknown_networks_name_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown torchvision network 'squeezenet'; nearest: squeezenet1_"):
        make(open_network("torchvision:squeezenet"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("resnet18", True),
        ("resnet19", False),
        ("torchvision:any", True),
        ("a/b.py:make", True),
        ("b.py", False),
        ("runs/x", False),
    ],
)
def test_what_is_the_name_of_a_network(text, named):
    assert is_network_name(text) == named
