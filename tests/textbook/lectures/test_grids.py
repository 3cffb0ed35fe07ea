"""The worked operations against torch, on any numbers, and what they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from convsmith.base.errors import BadFile, MissingPath, UsageError
from convsmith_textbook.lectures.gallery import KERNELS, filtered, photograph
from convsmith_textbook.lectures.grids import (
    Operands,
    convolve,
    correlate,
    grid_lines,
    numbers,
    pool,
    poolings,
    read_grids,
    read_pair,
    sums,
)
from convsmith_textbook.lectures.matrices import bilinear, matrix, scattered
from convsmith_textbook.lectures.pictures import convolution_svg

SMALL = st.integers(1, 3)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(float)


@settings(deadline=None, max_examples=40)
@given(SMALL, SMALL, SMALL, SMALL, st.integers(0, 3), st.integers(0, 3), SMALL, SMALL)
def test_a_convolution_is_torchs(channels, filters, h, w, rows, columns, down, along):
    x, k = random(channels, 5, 4), random(filters, channels, h, w, seed=1)
    ours = correlate(Operands(numbers(x), numbers(k), stride=(down, along), padding=(rows, columns)))
    # Of an odd number of added rows the larger half comes first.
    sides = ((columns + 1) // 2, columns // 2, (rows + 1) // 2, rows // 2)
    padded = functional.pad(torch.from_numpy(x), sides)
    theirs = functional.conv2d(padded[None], torch.from_numpy(k), stride=(down, along))[0]
    assert np.array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
def test_a_transposed_convolution_is_torchs_and_the_transposed_matrix(stride):
    y, k = random(2, 3), random(2, 2, seed=1)
    ours = scattered(y, k, stride)
    theirs = functional.conv_transpose2d(
        torch.from_numpy(y)[None, None], torch.from_numpy(k)[None, None], stride=stride
    )
    assert np.array_equal(ours, theirs[0, 0].numpy())
    operands = Operands((numbers(np.zeros_like(ours)),), ((numbers(k),),), stride=stride)
    assert np.array_equal((matrix(operands).T @ y.ravel()).reshape(ours.shape), ours)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_bilinear_filter_is_torchs_upsampling_inside(factor):
    y, taps = random(5, 6), bilinear(factor)
    ours = scattered(y, np.outer(taps, taps), (factor, factor))
    cut = (len(taps) - factor + 1) // 2
    ours = ours[cut : cut + 5 * factor, cut : cut + 6 * factor]
    theirs = functional.interpolate(torch.from_numpy(y)[None, None], scale_factor=factor, mode="bilinear")[0, 0]
    inner = slice(factor, -factor)
    assert np.allclose(ours[inner, inner], theirs.numpy()[inner, inner])


def test_pooling_is_torchs():
    x = random(2, 6, 5)
    operands = Operands(numbers(x), window=(3, 2), stride=(2, 1))
    batch = torch.from_numpy(x)[None]
    assert np.array_equal(pool(operands, np.max), functional.max_pool2d(batch, (3, 2), (2, 1))[0].numpy())
    assert np.allclose(pool(operands, np.mean), functional.avg_pool2d(batch, (3, 2), (2, 1))[0].numpy())


def test_the_true_convolution_is_scipys_definition():
    """sum a[i', j'] b[i - i', j - j'], written as it stands."""
    a, b = random(4, 4), random(3, 3, seed=1)
    ours = convolve(Operands((numbers(a),), ((numbers(b),),)))[0]
    for i in range(2):
        for j in range(2):
            full = sum(a[i + p, j + q] * b[2 - p, 2 - q] for p in range(3) for q in range(3))
            assert ours[i, j] == full


def test_the_lines_are_sums_that_hold():
    """Each line is an equation: both of its sides are evaluated."""
    operands = Operands(numbers(random(2, 4, 4)), numbers(random(2, 2, 2, 2, seed=1)))
    lines = sums(operands)
    assert len(lines) == 2 * 9
    for line in lines:
        left, right = line.split(" = ", 1)[1].rsplit(" = ", 1)
        assert eval(left) == float(right)
    assert poolings(Operands((((1, 2), (3, 4)),)), "max", np.max) == ["y[0,0] = max(1, 2, 3, 4) = 4"]


def test_long_lists_are_cut():
    operands = Operands(numbers(random(1, 12, 12)), numbers(random(1, 1, 2, 2)))
    assert sums(operands)[-1] == "... and 85 more"
    operands = Operands(numbers(random(1, 12, 12)), numbers(random(1, 1, 9, 9)))
    assert sums(operands) == ["(16 elements, each of 81 terms: too many to write out)"]


def test_large_grids_are_cut_in_pictures():
    svg = convolution_svg(Operands(numbers(random(1, 30, 12)), numbers(random(1, 1, 2, 2))))
    assert "input: 24x12 of 30x12" in svg
    assert svg.count("<rect") == 1 + 24 * 12 + 4 + 24 * 11


def test_reading_grids(tmp_path):
    expected = (((0, 1, 2), (3, 4.5, -5)),)
    assert read_grids("0 1 2; 3 4.5 -5", "x") == expected
    assert read_grids("0,1,2;3,4.5,-5;", "x") == expected
    assert read_grids("1 2 | 3 4", "x") == (((1, 2),), ((3, 4),))
    (tmp_path / "a.csv").write_text("0,1,2\n3,4.5,-5\n")
    assert read_grids(str(tmp_path / "a.csv"), "x") == expected
    (tmp_path / "b.txt").write_text("1 2\n\n3 4\n")
    assert read_grids(str(tmp_path / "b.txt"), "x") == (((1, 2),), ((3, 4),))
    assert read_pair("2", "x", 1) == (2, 2)
    assert read_pair("3,2", "x", 1) == (3, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1; 2", "rows of one length such as '0 1 2; 3 4 5', received rows of 2, 1 numbers"),
        ("", "received rows of 0 numbers"),
        ("0 1; 2 x", "expected numbers such as '0 1 2; 3 4 5', received '0 1; 2 x'"),
        ("0 nan", "expected finite numbers"),
    ],
)
def test_grids_that_cannot_be_read(text, message):
    with pytest.raises(UsageError, match="--input: ") as raised:
        read_grids(text, "--input")
    assert message in str(raised.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingPath, match=r"none\.csv: no such file; expected rows of numbers"):
        read_grids(str(tmp_path / "none.csv"), "x")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="could not be read as text"):
        read_grids(str(tmp_path / "bad.txt"), "x")


def test_operands_that_do_not_fit():
    wide = Operands((((1, 2), (3, 4)),), ((((1, 2, 3), (4, 5, 6), (7, 8, 9)),),))
    with pytest.raises(UsageError, match="a window of 3x3 does not fit into 2x2, padding included; it needs 1x1 more"):
        correlate(wide)
    two = Operands((((1, 2),), ((3, 4),)), ((((1,),),),))
    with pytest.raises(UsageError, match="the input has 2 channels and the kernel 1; write one grid for each"):
        correlate(two)


def test_a_matrix_too_large_to_write_is_refused():
    large = Operands((numbers(np.ones((40, 40))),), ((((1,),),),))
    with pytest.raises(UsageError, match="expected at most 1024 numbers, received 40x40"):
        matrix(large)


def test_grids_for_people():
    assert grid_lines(np.array([[0, 10], [-3, 4.5]])) == ["  0   10", " -3  4.5"]
    assert grid_lines(np.array([[[1, 2]], [[3, 4]]])) == ["1  2", "", "3  4"]


@pytest.mark.parametrize("name", KERNELS)
def test_the_gallery_filters_as_torch_does(name):
    image = photograph()[:40, :50]
    kernel = torch.from_numpy(KERNELS[name].astype(float)).expand(3, 1, 3, 3)
    padded = functional.pad(torch.from_numpy(image.astype(float)).movedim(2, 0)[None], (1, 1, 1, 1), mode="replicate")
    theirs = functional.conv2d(padded, kernel, groups=3).round().clamp(0, 255)[0].movedim(0, 2)
    assert np.array_equal(filtered(image, KERNELS[name]), theirs.numpy().astype(np.uint8))


def test_a_kernel_changes_what_it_should():
    image = photograph()
    spread = {name: np.diff(filtered(image, kernel).astype(float), axis=1).std() for name, kernel in KERNELS.items()}
    plain = np.diff(image.astype(float), axis=1).std()
    assert spread["Gaussian blur"] < plain < spread["sharpen"]
    assert filtered(image, KERNELS["edge detection"]).mean() < image.mean() / 2
