"""Names with arguments as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsmith.base.calls import Call, format_call, parse_call, split_list
from convsmith.base.errors import UsageError

TEXTS = {
    "flip": Call("flip"),
    " flip ": Call("flip"),
    "flip()": Call("flip"),
    "crop(4)": Call("crop", (4,)),
    "crop(4, reflect)": Call("crop", (4, "reflect")),
    "crop(-4, 0.5, 1e-3)": Call("crop", (-4, 0.5, 1e-3)),
    "crop(size=4, pad='a, b')": Call("crop", (), (("size", 4), ("pad", "a, b"))),
    "rule('norm', decay=0)": Call("rule", ("norm",), (("decay", 0),)),
    "mix((1, 2), [3], None, True)": Call("mix", ((1, 2), [3], None, True)),
    "drop_path=0.2": Call("drop_path", (0.2,)),
    "drop_path = 0.2": Call("drop_path", (0.2,)),
    "drop_path=0.2,batch": Call("drop_path", (0.2, "batch")),
    "size=64, 96": Call("size", (64, 96)),
    "length=90ep": Call("length", ("90ep",)),
    "nothing=": Call("nothing"),
    "text='a=b'": Call("text", ("a=b",)),
}


@pytest.mark.parametrize("text", TEXTS)
def test_reading(text):
    assert parse_call(text) == TEXTS[text]


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "crop(", "a(1", "crop(4))", "a(1, 2", "1crop(2)", "a(=1)", "\x00", "(" * 500]
)
def test_what_cannot_be_read_is_said(text):
    with pytest.raises(UsageError) as error:
        parse_call(text)
    assert str(error.value) == f"cannot read {text!r}; write it as name or name(argument, ...)"


@pytest.mark.parametrize("text", ["3", "a.b(1)", "a[1]", "[1, 2]", "a(1)(2)", "lambda: 1", "'flip'", "a+b"])
def test_what_is_no_call_is_said(text):
    with pytest.raises(UsageError) as error:
        parse_call(text)
    expected = f"cannot read {text!r}; write a name, with arguments in brackets where it takes some: crop(4)"
    assert str(error.value) == expected


@pytest.mark.parametrize(
    "text", ["a(b(1))", "a(1 + x)", "a(*[1])", "a(**{'b': 1})", "a(x.y)", "a(__import__('os'))", "a(f'{1}')"]
)
def test_arguments_are_literals_or_words(text):
    with pytest.raises(UsageError) as error:
        parse_call(text)
    assert str(error.value) == f"cannot read an argument of {text!r}; write numbers or words"


def test_an_argument_given_twice_is_refused():
    with pytest.raises(UsageError, match=r"^cannot read 'a\(b=1, b=2\)'; an argument is given twice$"):
        parse_call("a(b=1, b=2)")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ,", ["a", "b"]),
        ("a(1,2),b", ["a(1,2)", "b"]),
        ("a([1,2],{3,4}),b", ["a([1,2],{3,4})", "b"]),
        ("a('x,y'),b", ["a('x,y')", "b"]),
        ("a(')'),b", ["a(')')", "b"]),
        (r"a('\',\\'),b", [r"a('\',\\')", "b"]),
        ('"a,b",c', ['"a,b"', "c"]),
    ],
)
def test_splitting_outside_brackets_and_quotes(text, parts):
    assert split_list(text) == parts


values = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none() | st.text()
names = st.sampled_from(["crop", "drop_path", "a1"])


@given(names, st.lists(values | st.tuples(values, values)), st.dictionaries(names, values))
def test_what_is_written_is_read_back(name, args, kwargs):
    text = format_call(name, tuple(args), kwargs)
    assert parse_call(text) == Call(name, tuple(args), tuple(kwargs.items()))
    assert split_list(f"{text},flip") == [text, "flip"]


def test_writing():
    assert format_call("flip") == "flip"
    assert format_call("crop", (4, "reflect")) == "crop(4, 'reflect')"
    assert format_call("crop", (), {"size": 4}) == "crop(size=4)"
