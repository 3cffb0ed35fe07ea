"""Errors: families, exit codes, texts, and the nearest names."""

import copy
import pickle

import pytest

from convsmith.base import errors
from convsmith.base.errors import (
    BadFile,
    CheckFailed,
    ConvsmithError,
    MissingExtra,
    MissingPath,
    NotTrusted,
    ProcessFailed,
    Told,
    UnknownName,
    UsageError,
    WrongType,
    nearest,
    unknown,
)

CASES = [
    (ConvsmithError("text"), Exception, 1, "text"),
    (UsageError("text"), ValueError, 2, "text"),
    (UnknownName("text"), KeyError, 2, "text"),
    (WrongType("text"), TypeError, 2, "text"),
    (MissingPath("text"), FileNotFoundError, 2, "text"),
    (BadFile("a/b.json", "is cut"), ValueError, 1, "a/b.json: is cut"),
    (NotTrusted("text"), PermissionError, 2, "text"),
    (CheckFailed("text"), ValueError, 1, "text"),
    (ProcessFailed("text", 2), RuntimeError, 2, "text"),
    (Told("text"), RuntimeError, 1, "text"),
    (
        MissingExtra("onnx", "deploy"),
        ImportError,
        1,
        "this needs onnx, which is not installed; mend with: pip install -e '.[deploy]' in the checkout",
    ),
]


def test_every_error_has_its_case():
    own = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ConvsmithError)}
    assert {type(error) for error, *_ in CASES} == own


@pytest.mark.parametrize(("error", "family", "code", "text"), CASES)
def test_an_error_has_a_family_a_code_and_a_text(error, family, code, text):
    assert isinstance(error, ConvsmithError)
    assert isinstance(error, family)
    assert error.exit_code == code
    assert str(error) == text


@pytest.mark.parametrize("error", [case[0] for case in CASES])
def test_an_error_can_cross_to_another_process(error):
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_an_error_without_text_is_empty():
    assert str(UnknownName()) == ""


NAMES = ["resnet18", "resnet34", "resnet50", "vgg16", "alexnet"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet19", ["resnet18", "resnet50", "resnet34"]),
        ("RESNET18", ["resnet18", "resnet50", "resnet34"]),
        ("alexnt", ["alexnet"]),
        ("res", ["resnet50", "resnet34", "resnet18"]),
        ("v", ["vgg16"]),
        ("zzz", []),
    ],
)
def test_the_nearest_names(name, near):
    assert nearest(name, NAMES) == near
    assert nearest(name, NAMES, 1) == near[:1]


@pytest.mark.parametrize(
    ("name", "names", "text"),
    [
        ("vgg17", NAMES, "unknown net 'vgg17'; nearest: vgg16"),
        ("zzz", NAMES, "unknown net 'zzz'; known: alexnet, resnet18, resnet34, resnet50, vgg16"),
        ("zzz", [], "unknown net 'zzz'; there are none"),
        (
            "zzz",
            [c * 3 for c in "abcdefghijklm"],
            "unknown net 'zzz'; known: aaa, bbb, ccc, ddd, eee, fff, ggg, hhh, ... (13 in all)",
        ),
    ],
)
def test_an_unknown_name_lists_what_there_is(name, names, text):
    assert str(unknown("net", name, iter(names))) == text
