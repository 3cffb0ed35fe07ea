"""What must be quick to import does not import torch."""

import subprocess
import sys

FREE = """
import importlib, pkgutil, sys
import convsmith.base, convsmith.nets
with_torch = {"build", "carry", "dense", "in_place", "init", "layers", "measure", "name_map", "peers", "pretrained",
              "random_layers", "recompute", "sequence_layers", "taps", "whitening"}
names = ["convsmith.base." + m.name for m in pkgutil.iter_modules(convsmith.base.__path__)]
names += ["convsmith.nets." + m.name for m in pkgutil.iter_modules(convsmith.nets.__path__) if m.name not in with_torch]
for name in names:
    importlib.import_module(name)
from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.source import open_network
from convsmith.nets.views.stages import summarize
from convsmith.nets.zoo import edit
tree = edit(open_network("resnet50", classes=10), "drop_path=0.1")
assert Network.from_json(tree.to_json()) == tree
cost(tree), summarize(tree)
heavy = {"torch", "torchvision", "numpy", "PIL", "safetensors", "sklearn"} & sys.modules.keys()
print(len(names), sorted(heavy))
"""


def test_base_and_trees_import_no_torch():
    done = subprocess.run([sys.executable, "-c", FREE], capture_output=True, text=True, check=True)
    count, heavy = done.stdout.split(maxsplit=1)
    assert int(count) >= 19
    assert heavy.strip() == "[]"
