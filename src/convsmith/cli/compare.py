"""`convsmith compare NET NET ...`; runs are compared in `compare_runs`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from convsmith.base.errors import UsageError, unknown
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.cli.compare_runs import add_run_options, compare_runs, is_comparison_of_runs
from convsmith.cli.networks import add_network_options, as_json, field_words, opened, priced
from convsmith.cli.output import show_text
from convsmith.cli.pictures import check_folders, picture_file, write_picture
from convsmith.nets.cost import Cost
from convsmith.nets.model import Model
from convsmith.nets.views.accuracies import ACCURACIES, HUMAN_ERROR, WINNERS, Accuracy, Winner
from convsmith.nets.zoo import NETWORKS
from convsmith.nets.zoo import network as zoo_network
from convsmith.report.text import count, short, size, table


def run(words: Sequence[str]) -> int:
    """Print networks side by side; the others are measured against the first."""
    values = _parser().read(words)
    check_folders([values.bars, values.bubbles, values.winners, values.plot])
    if is_comparison_of_runs(values):
        return compare_runs(values)
    names = _names(values.networks)
    if len(names) < 2 and (names or not values.winners):
        raise UsageError("compare: expected two different networks or more; for a single one there is: convsmith show")
    if values.winners:
        write_picture(values.winners, _winners)
    rows = [_row(opened(name, values), name, values) for name in names]
    write_picture(values.bars, lambda: _bars(rows))
    write_picture(values.bubbles, lambda: _bubbles(rows))
    if values.json:
        print_json([_as_json(row) for row in rows])
    elif rows:
        show_text(_table(rows))
    return 0


def _parser() -> Parser:
    parser = Parser("compare", "Networks side by side, or trained runs; the options apply to each.")
    help = "names, as `show` takes them, and patterns such as 'resnet*'; or runs only"
    parser.add_argument("networks", nargs="*", metavar="NET|RUN", help=help)
    add_network_options(parser)
    for name, help in (
        ("bars", "activation memory, parameters and MACs as bars"),
        ("bubbles", "published accuracy against MACs, bubbles as large as the parameters, families joined"),
        ("winners", "the ImageNet contest of 2010 to 2017: error and layers; needs no network"),
    ):
        parser.add_argument(f"--{name}", type=picture_file, metavar="FILE.svg", help=help)
    add_run_options(parser)
    add_output(parser)
    return parser


def _names(words: Sequence[str]) -> list[str]:
    """The names of networks in the words; a pattern gives all names that match."""
    names: list[str] = []
    for word in words:
        if set(word) & set("*?["):
            matching = NETWORKS.matching(word)
            if not matching:
                raise unknown("network", word, NETWORKS)
            names += matching
        else:
            names.append(word)
    return list(dict.fromkeys(names))


@dataclass(frozen=True)
class _Row:
    """A network with its cost and its published accuracy, None if there is none."""

    network: Model
    numbers: Cost
    published: Accuracy | None

    @property
    def name(self) -> str:
        return self.network.name


def _row(network: Model, name: str, values: argparse.Namespace) -> _Row:
    return _Row(network, priced(name, network, values), _published(network))


def _published(network: Model) -> Accuracy | None:
    """The published accuracy of a network of the zoo; None if it is edited or has another input."""
    known = ACCURACIES.get(network.name)
    if known is None or network.tree is None or network.tree.input.spatial != (known.size,) * 2:
        return None
    return known if network == zoo_network(network.name) else None


def _table(rows: Sequence[_Row]) -> str:
    first = rows[0].numbers
    cells = [
        (
            row.name,
            "x".join(map(str, c.input)),
            count(c.params),
            _times(c.params, first.params),
            short(c.macs),
            _times(c.macs, first.macs),
            size(c.activation_bytes),
            field_words(c.receptive_field),
            sum(layer.macs > 0 and not layer.auxiliary for layer in c.layers),
            f"{row.published.top1:.1f}%" if row.published else "-",
        )
        for row in rows
        for c in [row.numbers]
    ]
    header = ("network", "input", "parameters", "", "MACs", "", "activations", "field", "layers", "top-1")
    return table(header, cells, align="<>>>>>>>>>")


def _times(amount: int, first: int) -> str:
    if not first:
        return "-"
    ratio = amount / first
    return f"{ratio:.2f}x" if ratio >= 0.1 or not ratio else f"{ratio:.2g}x"


def _as_json(row: _Row) -> dict[str, object]:
    known = row.published
    published = {"top1": known.top1, "top5": known.top5, "size": known.size, "source": known.source} if known else None
    return {**as_json(row.network, row.numbers), "published": published}


# The modules of the pictures are imported when one is drawn; a table needs none.
def _bars(rows: Sequence[_Row]) -> str:
    from convsmith.report.comparison import Total, totals_svg

    return totals_svg([Total(r.name, r.numbers.activation_bytes, r.numbers.params, r.numbers.macs) for r in rows])


def _bubbles(rows: Sequence[_Row]) -> str:
    from convsmith.report.bubbles import Point, bubbles_svg

    known = [(row, row.published) for row in rows if row.published]
    if not known:
        raise UsageError(
            "--bubbles: no published accuracy is known for any of these networks; "
            f"there is one for {', '.join(list(ACCURACIES)[:4])} and {len(ACCURACIES) - 4} more"
        )
    points = [Point(row.name, a.line, a.top1, row.numbers.macs, row.numbers.params) for row, a in known]
    return bubbles_svg(_note(rows), points)


def _note(rows: Sequence[_Row]) -> str:
    sources = list(dict.fromkeys(row.published.source for row in rows if row.published))
    source = sources[0] if len(sources) == 1 else f"{len(sources)} sources"
    return f"ImageNet top-1, one crop, as published ({source})"


_CONTEST = "ImageNet classification contest (ILSVRC)"
_CONTEST_NOTE = "top-5 error on the test set, in percent; gray: no convolutional network"


def _winners() -> str:
    from convsmith.report.comparison import Entry, winners_svg

    entries = [Entry(winner.year, winner.name, winner.error, _layers(winner)) for winner in WINNERS]
    return winners_svg(_CONTEST, _CONTEST_NOTE, entries, HUMAN_ERROR)


def _layers(winner: Winner) -> str:
    return {0: "shallow", None: "ensemble"}.get(winner.layers, str(winner.layers))
