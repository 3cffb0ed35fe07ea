"""`convsmith export RUN --to onnx`."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from convsmith.cli.arguments import Parser, add_output, print_json, say
from convsmith.report.text import size


def run(words: Sequence[str]) -> int:
    """Write a run's network for another runtime, compared with its own outputs on real images."""
    parser = Parser(
        "export", "Write a run's network for another runtime, checked on its validation images. 1: it differs."
    )
    parser.add_argument("run", help="a run's directory")
    parser.add_argument("--to", choices=("onnx",), default="onnx", help="the format (onnx)")
    parser.add_argument("--data", metavar="PATH", help="where the run's own data lies now, if it has moved")
    parser.add_argument("--out", metavar="FILE", help="where to write; none: RUN/export/model.onnx")
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, help="largest difference, relative to the largest output"
    )
    parser.add_argument("--quiet", action="store_true", help="no notes")
    add_output(parser)
    values = parser.read(words)
    subject = import_module("convsmith.runs.subject").open_subject(values.run)
    for warning in () if values.quiet else subject.warnings:
        say(f"warning: {warning}")
    _, examples = import_module("convsmith.recipes.evaluate").own_split(subject, "val", values.data)
    path = Path(values.out) if values.out else subject.run.path / "export" / "model.onnx"
    export = import_module("convsmith.deploy.onnx").export_onnx(subject, examples, path, values.tolerance)
    if values.json:
        print_json(export.to_json())
        return 0
    print(f"{export.path}  {size(export.bytes)}, ONNX opset {export.opset}, free batch size")
    for c in export.comparisons:
        print(
            f"  batch {c.batch}: largest difference {c.difference:.1e} of the largest output, "
            f"{c.same_class}/{c.images} same class"
        )
    print(f"  checked with ONNX Runtime on validation images; tolerance {export.tolerance:.0e}")
    return 0
