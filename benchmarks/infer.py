"""Images per second of a network that is only run: ours on every engine against torchvision's as users run it.

    python benchmarks/infer.py [--networks resnet50] [--batches 16,1] [--engines eager,openvino] [--rounds 9]
    python benchmarks/infer.py --zoo [--batches 4] [--engines eager] [--rounds 9]

The peer is torchvision's module in evaluation mode under `torch.inference_mode`, fp32, channels first. Ours has the
same weights; its outputs are compared with the peer's before anything is timed. `as it is` is our module with nothing
merged, as evaluation runs it in the layout of a run; the engines are those of `convsmith bench`. All take turns in each
round (A B C A B C); a figure is the median over the rounds of the peer's time divided by ours, with the smallest and
the largest. `--zoo` takes every network that both have. `gemm_gflops` is what one large fp32 matrix product reaches
here in the same rounds, `gflops` what the engine reaches on the network: its share is what is left to gain. Lines of
JSON are added to benchmarks/results/infer.jsonl.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from convsmith.base.errors import ConvsmithError
from convsmith.engines.choose import CHECKED
from convsmith.engines.inference import Inference, untrained
from convsmith.engines.measure import rounds
from convsmith.engines.names import available, read_engines
from convsmith.engines.runner import Runner
from convsmith.engines.start import launch, plain, reference
from convsmith.nets.cost import cost
from convsmith.nets.weights.peers import make_peer, names_of, peer_name
from convsmith.nets.zoo import NETWORKS, network
from convsmith.training.engine import Engine, resolve, using
from convsmith.training.options import EngineOptions
from record import add_row, make_parser
from turns import SIDES, versus

SIDE = SIDES[0]
SAME = 1e-4  # of the largest output


def peer_runner(name: str, model: Inference, batch: int) -> Runner:
    """torchvision's network with our weights."""
    peer, ours = make_peer("torchvision", name, device="cpu"), model.module.state_dict()
    pairs, state = names_of("torchvision", name), peer.state_dict()
    peer.load_state_dict({key: ours[pairs[key]].reshape(like.shape) for key, like in state.items()})
    peer.eval()

    def compute(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return peer(images)

    return Runner("torchvision", "fp32", batch, fixed=False, compute=compute)


def product_runner(batch: int) -> Runner:
    """A matrix product in place of a network."""
    a, b = torch.randn(2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))

    def compute(images: torch.Tensor) -> torch.Tensor:
        return (a @ b)[: len(images)]

    return Runner("product", "fp32", batch, fixed=False, compute=compute)


def measure(name: str, batch: int, engine: Engine, names: Sequence[str], count: int) -> list[dict[str, Any]]:
    """A row for our network as it is and for each engine."""
    tree = network(name)
    images = torch.randn(max(4, min(batch, CHECKED)), *tree.input, generator=torch.Generator().manual_seed(0))
    model = untrained(tree, images)
    peer, known = peer_runner(name, model, batch), reference(model, engine, batch, images)
    as_it_is = plain(replace(model, channels_last=engine.channels_last), engine, batch)
    expected = peer(images)
    far = float((known.outputs - expected).abs().max() / expected.abs().max())
    if not far <= SAME:
        raise SystemExit(f"{name}: our outputs are {far:.1e} of the largest off torchvision's")
    runners, notes = [product_runner(batch), peer, as_it_is], {}
    for engine_name in names:
        try:
            runner, found = launch(engine_name, model, engine, batch, known)
        except ConvsmithError as error:
            print(f"{name}: {error}", flush=True)
            continue
        runners.append(runner)
        notes[engine_name] = {"difference": found.difference, "refused": found.objection or None}
    shown = images[:1].expand(batch, *images.shape[1:]).contiguous() if batch > len(images) else images[:batch]
    times = dict(zip((r.engine for r in runners), zip(*rounds(runners, shown, count), strict=True), strict=True))
    operations = 2 * cost(tree).macs * batch
    return [
        {
            "network": name,
            "batch": batch,
            "engine": runner.engine,
            "precision": runner.precision,
            **versus(
                [(batch / o, batch / p) for o, p in zip(times[runner.engine], times["torchvision"], strict=True)], 2
            ),
            "start_seconds": round(runner.start_seconds, 2),
            **notes.get(runner.engine, {}),
            "gflops": round(operations / median(times[runner.engine]) / 1e9, 1),
            "gemm_gflops": round(2 * SIDE**3 / median(times["product"]) / 1e9, 1),
        }
        for runner in runners[2:]
    ]


def main() -> None:
    parser = make_parser(__doc__, rounds=9)
    parser.add_argument("--networks", default="resnet50")
    parser.add_argument("--zoo", action="store_true")
    parser.add_argument("--batches")
    parser.add_argument("--engines")
    values = parser.parse_args()
    engine = resolve(EngineOptions())
    names = read_engines(values.engines) if values.engines else ["eager"] if values.zoo else available(engine.device)
    zoo = [name for name in NETWORKS if peer_name("torchvision", name)]
    batches = [int(word) for word in (values.batches or ("4" if values.zoo else "16,1")).split(",")]
    with using(engine):
        for name in zoo if values.zoo else values.networks.split(","):
            for batch in batches:
                for row in measure(name, batch, engine, names, values.rounds):
                    add_row(values.results, "infer", row, engine=engine, libraries=("onnxruntime", "openvino"))
                    print(
                        f"{name} batch {batch} {row['engine']} {row['precision']}: {row['ours']} images/s, torchvision "
                        f"{row['peer']}: ratio {row['ratio']} ({row['lowest']}-{row['highest']})",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
