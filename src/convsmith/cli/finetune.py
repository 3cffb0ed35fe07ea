"""`convsmith finetune FROM --data PATH`: trained weights, other images."""

from collections.abc import Sequence

from convsmith.cli.arguments import Parser, add_output, add_short
from convsmith.cli.fields import edited, given, recipe_words
from convsmith.cli.train import add_within, check_out, finetuned, limit_of
from convsmith.recipes.finetune import FineTuning, asks_steps, check_tuning, finetuning_recipe
from convsmith.recipes.shorthand import SHORTHAND

EXAMPLES = """examples:
  convsmith finetune RUN --data photos/                       what learns is chosen by the images, and said
  convsmith finetune resnet18 --pretrained --data photos/     the same from published weights
  convsmith finetune RUN --data photos/ --mode probe --at stage2
  convsmith finetune RUN --data photos/ --classifier logistic
  convsmith finetune RUN --data photos/ --unfreeze 2 --lr 0.01
"""
# FROM gives the network. Fields without a short option have their dotted option.
_SHORT = [name for name in SHORTHAND if name not in ("network", "deterministic")]


def run(words: Sequence[str]) -> int:
    """Fine-tune."""
    rest, fields = recipe_words(words)
    values = _parser().read(rest, words)
    tuning = FineTuning(
        values.mode, values.at, values.unfreeze, values.decay, values.classifier, asks_steps(given(values, fields))
    )
    weights = values.weights or ("DEFAULT" if values.pretrained else None)
    recipe = edited(finetuning_recipe(values.subject, values.data, tuning, weights), values, fields)
    check_tuning(recipe, tuning)
    check_out(values.out)
    # From here on torch is needed.
    return finetuned(recipe, tuning, values, limit_of(values, fields))


def _parser() -> Parser:
    parser = Parser("finetune", "Learn other images from trained weights: those of a run, or of a network by name.")
    parser.epilog = EXAMPLES
    parser.add_argument("subject", metavar="FROM", help="run, bundle, or network with --pretrained or --weights")
    help = "what learns: last layer, last stages, all; none: chosen by the images"
    parser.add_argument("--mode", choices=("probe", "partial", "full"), help=help)
    parser.add_argument("--at", metavar="STAGE", help="cut behind this stage: pooling and a linear layer follow")
    parser.add_argument("--unfreeze", type=int, metavar="N", help="partial: the last N stages learn too; none: 1")
    help = "rate of a stage as a share of the next one's; none: a tenth, then a hundredth"
    parser.add_argument("--decay", type=float, metavar="SHARE", help=help)
    help = "probe: learned by steps, or by regression on features computed once"
    parser.add_argument("--classifier", choices=("linear", "logistic"), help=help)
    add_short(parser, *_SHORT)
    parser.add_argument("--out", metavar="DIR", help="the run's directory; none: runs/<date>-<recipe>-<id>")
    add_within(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_output(parser)
    return parser
