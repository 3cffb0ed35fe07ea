"""Output sizes, shapes and receptive fields of the lectures, computed on trees."""

from convsmith.nets.ops import Act, Conv, MaxPool
from convsmith_textbook.lectures.blocks import chain, output, plain_chain, priced
from convsmith_textbook.lectures.entry import Entry, Figure


def layers_until(size: int, left: int, kernel: int) -> int:
    """The number of unpadded layers of this kernel that reduce an image from `size` to `left` pixels."""
    count = 0
    while output(chain(*(Conv(1, kernel) for _ in range(count))), 1, size)[1] > left:
        count += 1
    return count


def shrinking() -> dict[str, object]:
    """Unpadded 5x5 layers on images of 32 and of 224 pixels."""
    return {
        "32 pixels after 1 layer": output(Conv(1, 5), 1, 32)[1],
        "32 pixels after 7 layers": output(chain(*(Conv(1, 5) for _ in range(7))), 1, 32)[1],
        "layers from 224 to 4 pixels": layers_until(224, 4, 5),
        "as if each layer took 5 pixels away": (224 - 4) // 5,
    }


def formulas() -> dict[str, object]:
    """The printed formulas against the shapes of trees, for many sizes n, kernels k and strides s."""

    def size(n: int, k: int, s: int, p: int) -> int:
        return output(Conv(1, k, s, p), 1, n)[1]

    cases = [(n, k, s, p) for n in range(7, 30) for k in (1, 2, 3, 5, 7) for s in (1, 2, 3) for p in (0, 1, 2, 3)]
    odd = [(n, k, s) for n, k, s, p in cases if p == 0 and k % 2]
    return {
        "n - k + p + 1": all(size(n, k, 1, p) == n - k + 2 * p + 1 for n, k, s, p in cases if s == 1),
        "floor((n - k + p + s) / s)": all(size(n, k, s, p) == (n - k + 2 * p + s) // s for n, k, s, p in cases),
        "floor((n + s - 1) / s) with p = k - 1": all(size(n, k, s, k // 2) == (n + s - 1) // s for n, k, s in odd),
        "n / s where s divides n": all(size(n, k, s, k // 2) == n // s for n, k, s in odd if n % s == 0),
    }


def shapes() -> dict[str, object]:
    """The shapes of the lectures' small examples."""
    relu = Act("relu")
    stacked = chain(Conv(6, 5), relu, Conv(10, 5), relu)
    six = priced(Conv(6, 5), 3, 32, 32)
    return {
        "six 5x5 filters on 3x32x32": _text(output(Conv(6, 5), 3, 32, 32)),
        "numbers in one dot product": 5 * 5 * 3,
        "their weights and biases": six.params,
        "then ten 5x5 filters": _text(output(stacked, 3, 32, 32)),
        "two 3x3 filters, stride 2, on 3x5x5 padded to 3x7x7": _text(output(Conv(2, 3, 2, padding=1), 3, 5, 5)),
        "32 filters of 1x1 on 64x56x56": _text(output(Conv(32), 64, 56, 56)),
        "64x224x224 pooled 2x2, stride 2": _text(output(MaxPool(2, 2), 64, 224, 224)),
    }


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def fields() -> dict[str, object]:
    """Receptive fields of chains of small filters, without and with a stride."""

    def field(*kernels: int) -> int:
        return priced(plain_chain(4, *kernels), 4, 64, 64).receptive_field[0]

    down = chain(Conv(4, 3, 2, padding=1), Conv(4, 3, padding=1), Conv(4, 3, padding=1))
    formula = [(length, k) for length in range(1, 9) for k in (3, 5, 7)]
    return {
        "two 3x3": field(3, 3),
        "three 3x3": field(3, 3, 3),
        "1 + L (K - 1)": all(field(*[k] * length) == 1 + length * (k - 1) for length, k in formula),
        "three 3x3, the first with stride 2": priced(down, 4, 64, 64).receptive_field[0],
    }


def slices() -> dict[str, object]:
    """The receptive field of a row of weights followed by a column."""

    def spans(k: int) -> str:
        pair = chain(Conv(1, (1, k), padding=(0, k // 2)), Conv(1, (k, 1), padding=(k // 2, 0)))
        return _text(priced(pair, 1, 32, 32).receptive_field)

    return {"1x3 then 3x1": spans(3), "1x5 then 5x1": spans(5)}


ENTRIES = {
    "shrinking-maps": Entry(
        title="maps shrink under 5x5 layers without padding",
        rows="2.5 2.6 11.4",
        lectures="layers",
        compute=shrinking,
        figures=(
            Figure("32 pixels after 1 layer", "28", 28),
            Figure("32 pixels after 7 layers", "4", 4),
            Figure(
                "layers from 224 to 4 pixels",
                "44",
                55,
                "a 5x5 layer takes k - 1 = 4 pixels away, not 5",
                "as if each layer took 5 pixels away",
            ),
            Figure("as if each layer took 5 pixels away", "44", 44),
        ),
    ),
    "output-size": Entry(
        title="the formulas of output sizes; p counts both sides",
        rows="2.2 2.5 2.6",
        lectures="layers residual",
        compute=formulas,
        figures=(
            Figure("n - k + p + 1", None, True),
            Figure("floor((n - k + p + s) / s)", None, True),
            Figure("floor((n + s - 1) / s) with p = k - 1", None, True),
            Figure("n / s where s divides n", None, True),
        ),
    ),
    "layer-shapes": Entry(
        title="shapes of the small examples (channels first)",
        rows="2.8 2.9 2.10 2.12 2.28",
        lectures="convnets regularization",
        compute=shapes,
        figures=(
            Figure("six 5x5 filters on 3x32x32", "6x28x28", "6x28x28"),
            Figure("numbers in one dot product", "75", 75),
            Figure("their weights and biases", None, 456),
            Figure("then ten 5x5 filters", "10x24x24", "10x24x24"),
            Figure("two 3x3 filters, stride 2, on 3x5x5 padded to 3x7x7", "2x3x3", "2x3x3"),
            Figure("32 filters of 1x1 on 64x56x56", "32x56x56", "32x56x56"),
            Figure("64x224x224 pooled 2x2, stride 2", "64x112x112", "64x112x112"),
        ),
    ),
    "receptive-field": Entry(
        title="each layer adds K - 1 to the receptive field",
        rows="2.24 9.14",
        lectures="convnets regularization",
        compute=fields,
        figures=(
            Figure("two 3x3", "5", 5),
            Figure("three 3x3", "7", 7),
            Figure("1 + L (K - 1)", None, True),
            Figure("three 3x3, the first with stride 2", None, 11),
        ),
    ),
    "sliced-filters": Entry(
        title="a filter sliced into a row and a column",
        rows="1.27 2.18 11.10",
        lectures="residual",
        source="Szegedy et al. 2017 slice into 1x7 and 7x1, and 1x3 and 3x1",
        compute=slices,
        figures=(
            Figure(
                "1x5 then 5x1",
                "3x3",
                "5x5",
                "the slide sets 3x3 against 1x5 and 5x1, which see 5x5; 3x3 is 1x3 and 3x1",
                "1x3 then 3x1",
            ),
            Figure("1x3 then 3x1", None, "3x3"),
        ),
    ),
}
