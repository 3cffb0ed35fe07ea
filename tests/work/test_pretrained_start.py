"""torchvision's published weights, its server replaced by bytes made here: fetched, checked, used, trained from."""

import hashlib
import io
import json
import pickle
import re
import socket
from dataclasses import replace
from email.message import Message
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.models as peers
from PIL import Image
from safetensors.torch import save_file

import convsmith as cs
from convsmith.base import config
from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError
from convsmith.data.preprocess import load
from convsmith.nets.zoo import NETWORKS
from convsmith.recipes.choose import choose
from convsmith.recipes.finetune import FineTuning, tuning_of
from convsmith.recipes.recipe import Recipe
from convsmith.runs.published import fetch
from convsmith.runs.publishers import PublishedFile, find_published
from convsmith.work import start
from convsmith.work.prepare import make_model, prepare, records
from convsmith.work.transfer import prepare_finetuning

NAME = "squeezenet1_1"
ENTRY = peers.SqueezeNet1_1_Weights.IMAGENET1K_V1


class Response(io.BytesIO):
    """What `urlopen` gives."""

    def info(self):
        return Message()


@pytest.fixture(scope="module")
def peer():
    torch.manual_seed(0)
    return peers.squeezenet1_1(weights=None).eval()


@pytest.fixture(scope="module")
def data(peer):
    buffer = io.BytesIO()
    torch.save(peer.state_dict(), buffer)
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "torchvision"


@pytest.fixture
def served(monkeypatch, cache, data):
    """The bytes that the server gives and what was asked of it; the entry's address has the right digits."""
    digits = hashlib.sha256(data).hexdigest()[:8]
    monkeypatch.setattr(ENTRY.value, "url", f"https://server.invalid/models/squeezenet1_1-{digits}.pth")
    server = {"bytes": data, "asked": []}

    def urlopen(request):
        server["asked"].append(request.full_url)
        if server["bytes"] is None:
            raise URLError("no route")
        return Response(server["bytes"])

    monkeypatch.setattr(torch.hub, "urlopen", urlopen)
    return server


# The registry ---------------------------------------------------------------------------------------------------------

ENTRIES = [
    (name, entry.name)
    for name in NETWORKS
    if name in peers.list_models(module=peers)
    for entry in peers.get_model_weights(name)
    if entry.meta["categories"]
]


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_every_entry_has_a_record_labels_and_digits(name, entry):
    published = find_published(name, entry)
    theirs = peers.get_model_weights(name)[entry].transforms()
    record = published.preprocess
    assert re.fullmatch(r".+-[0-9a-f]{8,10}\.pth", published.file)
    assert len(published.labels) == 1000
    assert (record.size, record.resize) == ((theirs.crop_size[0],) * 2, theirs.resize_size[0])
    half = name in ("googlenet", "inception_v3")
    assert record.mean == ((0.5,) * 3 if half else tuple(theirs.mean))
    assert record.std == ((0.5,) * 3 if half else tuple(theirs.std))


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b1", "mobilenet_v2"])
def test_an_image_becomes_what_torchvisions_own_transformation_makes(name):
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (301, 403, 3), dtype=np.uint8))
    for entry in peers.get_model_weights(name):
        ours = torch.from_numpy(load(image, find_published(name, entry.name).preprocess))
        torch.testing.assert_close(ours, entry.transforms()(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "builder"), [("googlenet", peers.googlenet), ("inception_v3", peers.inception_v3)])
def test_weights_from_other_frameworks_want_values_from_minus_one_to_one(name, builder):
    """torchvision's networks with published weights undo its usual normalization: ours gets what they make of it."""
    entry = peers.get_model_weights(name).DEFAULT
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8))
    with torch.device("meta"):
        theirs = builder(weights=None, transform_input=True, init_weights=False)
    expected = theirs._transform_input(entry.transforms()(image)[None])[0]
    torch.testing.assert_close(
        torch.from_numpy(load(image, find_published(name).preprocess)), expected, rtol=0, atol=1e-5
    )


def test_the_best_entry_and_entries_by_name():
    assert find_published("resnet50").name == "ResNet50_Weights.IMAGENET1K_V2"
    assert find_published("resnet50", "IMAGENET1K_V1").file == "resnet50-0676ba61.pth"
    assert find_published("resnet50", "ResNet50_Weights.IMAGENET1K_V1").labels[0] == "tench"
    assert find_published("vgg16").name == "VGG16_Weights.IMAGENET1K_V1"


def test_entries_and_networks_that_are_not_there():
    with pytest.raises(UnknownName, match="unknown weights of resnet50 'IMAGENET1K_V3'; known: DEFAULT, IMAGENET1K_V1"):
        find_published("resnet50", "IMAGENET1K_V3")
    # Its last layers hold nothing.
    with pytest.raises(
        UnknownName, match="unknown weights of vgg16 'IMAGENET1K_FEATURES'; known: DEFAULT, IMAGENET1K_V1"
    ):
        find_published("vgg16", "IMAGENET1K_FEATURES")
    with pytest.raises(UsageError, match=r"torchvision has no weights for 'lenet5'.*; give a file with --weights"):
        find_published("lenet5")


# The file -------------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once_and_its_hash_is_known(served, cache, data):
    published = find_published(NAME)
    path, digest = fetch(published)
    assert (path, path.read_bytes(), digest) == (cache / published.file, data, hashlib.sha256(data).hexdigest())
    assert fetch(published) == (path, digest)
    assert served["asked"] == [published.url]


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: b"<html>" + data, lambda data: b""])
def test_other_bytes_than_published_leave_no_file(change, served, cache, data):
    served["bytes"] = change(data)
    with pytest.raises(
        BadFile, match=r"squeezenet1_1-[0-9a-f]{8}\.pth: could not be downloaded from .* \(invalid hash"
    ):
        fetch(find_published(NAME))
    assert list(cache.iterdir()) == []


def test_without_a_connection_the_file_and_its_place_are_named(served, cache):
    served["bytes"] = None
    published = find_published(NAME)
    with pytest.raises(BadFile) as error:
        fetch(published)
    assert str(error.value) == (
        f"{cache / published.file}: could not be downloaded from {published.url} (no route); "
        f"fetch {published.file} elsewhere and put it there"
    )
    assert list(cache.iterdir()) == []


def test_a_server_that_says_nothing_is_not_waited_for(cache, monkeypatch):
    monkeypatch.setattr("convsmith.runs.published.SILENCE", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        published = replace(find_published(NAME), url=f"http://127.0.0.1:{silent.getsockname()[1]}/a.pth")
        with pytest.raises(BadFile, match=r"could not be downloaded from .* \(no answer for 0.2 s\)"):
            fetch(published)
    assert socket.getdefaulttimeout() is None
    assert list(cache.iterdir()) == []


def test_a_file_that_was_put_there_is_used_and_a_wrong_one_is_not(served, cache, data):
    served["bytes"] = None
    published = find_published(NAME)
    cache.mkdir(parents=True)
    (cache / published.file).write_bytes(data)
    assert fetch(published)[1] == hashlib.sha256(data).hexdigest()
    (cache / published.file).write_bytes(data[:-1])
    with pytest.raises(BadFile, match=r"its SHA-256 begins with [0-9a-f]{8}, its name says [0-9a-f]{8}; delete it"):
        fetch(published)


def test_the_cache_follows_xdg(served, tmp_path, monkeypatch):
    monkeypatch.delenv("CONVSMITH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fetch(find_published(NAME))[0].parent == tmp_path / "xdg" / "convsmith" / "torchvision"


def test_a_published_file_with_code_in_it_is_not_run(served, cache, tmp_path, monkeypatch):
    data = pickle.dumps(Dangerous(tmp_path / "ran"))
    served["bytes"] = data
    digits = hashlib.sha256(data).hexdigest()[:8]
    monkeypatch.setattr(ENTRY.value, "url", f"https://server.invalid/squeezenet1_1-{digits}.pth")
    with pytest.raises(BadFile, match="pickled objects, which could run code and are not read, or a damaged file"):
        cs.pretrained(NAME)
    assert not (tmp_path / "ran").exists()


class Dangerous:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


# cs.pretrained --------------------------------------------------------------------------------------------------------


def test_three_lines_classify_a_photo(served, peer, tmp_path):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (280, 330, 3), dtype=np.uint8)).save(photo)
    model = cs.pretrained(NAME)
    (prediction,) = model.predict(photo)
    with torch.no_grad():
        expected = peer(ENTRY.transforms()(Image.open(photo))[None])[0].softmax(0)
    best = expected.topk(5)
    assert [guess.label for guess in prediction.top] == [ENTRY.meta["categories"][i] for i in best.indices]
    assert [guess.probability for guess in prediction.top] == pytest.approx(best.values.tolist(), rel=1e-4)
    assert model.subject.source == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert model.subject.sha256 == hashlib.sha256(served["bytes"]).hexdigest()
    assert model.subject.note == "torchvision names"
    assert model.predict(np.asarray(Image.open(photo)), top=1)[0].label == prediction.label


def test_other_classes_have_a_new_layer_that_cannot_answer_yet(served, peer):
    model = cs.pretrained(NAME, classes=7)
    assert model.labels is None
    assert model.module(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    assert torch.equal(next(iter(model.module.state_dict().values())), next(iter(peer.state_dict().values())))
    with pytest.raises(UsageError, match=r"the last layer is new .*; train it first: convsmith train"):
        model.predict(np.zeros((8, 8, 3), np.uint8))


def test_gray_images(served, peer):
    model = cs.pretrained(NAME, channels=1)
    assert (model.preprocess.mode, len(model.preprocess.mean)) == ("L", 1)
    assert model.preprocess.mean[0] == pytest.approx(0.449, abs=1e-3)
    gray = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model.module(gray), peer(gray.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    assert len(model.predict(np.zeros((8, 8), np.uint8))[0].top) == 5


def test_more_channels_than_a_picture_has(served):
    model = cs.pretrained(NAME, channels=5)
    assert model.module(torch.zeros(1, 5, 64, 64)).shape == (1, 1000)
    assert model.preprocess is None
    with pytest.raises(UsageError, match="an image has 1 or 3 channels; call the module on tensors of your own"):
        model.predict(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_ones_own(suffix, cache, tmp_path):
    torch.manual_seed(1)
    peer, path = peers.squeezenet1_1(num_classes=4).eval(), tmp_path / f"mine{suffix}"
    torch.save(peer.state_dict(), path) if suffix == ".pth" else save_file(peer.state_dict(), path)
    model = cs.pretrained(NAME, classes=4, weights=path)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.module(x), peer(x))
    assert model.labels == ("0", "1", "2", "3")
    assert model.preprocess == find_published(NAME).preprocess
    assert model.subject.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match=r"of another shape .*check the number of classes and channels$"):
        cs.pretrained(NAME, weights=path)


def test_a_network_of_ours_alone_gets_imagenets_mean(tmp_path):
    module = cs.build(cs.network("resnet20_cifar"), seed=3)
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    model = cs.pretrained("resnet20_cifar", weights=tmp_path / "w.safetensors")
    assert (model.preprocess.size, model.preprocess.resize) == ((32, 32), None)
    assert model.preprocess.mean == (0.485, 0.456, 0.406)
    assert model.labels == tuple(map(str, range(10)))


def test_a_network_that_takes_no_images(tmp_path):
    name = next(name for name in NETWORKS if len(cs.network(name).input.spatial) != 2)
    with pytest.raises(UsageError, match=f"pretrained: {name} takes .*, which is not an image"):
        cs.pretrained(name, weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.pth", None, r"gone\.pth: no such file; expected a file with weights"),
        ("code.pth", "code", r"code\.pth: expected tensors of torch.save, received pickled objects"),
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{}", r"cut\.safetensors: expected a whole safetensors file"),
        ("model.onnx", b"x", r"model\.onnx: expected a weight file \(\.safetensors, "),
    ],
)
def test_files_that_are_no_weights(name, content, message, tmp_path):
    path = tmp_path / name
    if content == "code":
        content = pickle.dumps(Dangerous(tmp_path / "ran"))
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((BadFile, MissingPath), match=message):
        cs.pretrained(NAME, weights=path)
    assert not (tmp_path / "ran").exists()


# A run that starts from them ------------------------------------------------------------------------------------------


def planned(**fields):
    return prepare(Recipe(network=NAME, stem="large", quick=True).edit(data__source="digits", data__size=64, **fields))


@pytest.mark.parametrize("channels", [3, 1])
def test_a_run_starts_from_published_weights(channels, served, peer):
    plan, notes = planned(weights="DEFAULT", data__channels=channels), []
    module = make_model(plan, notes)
    first = next(iter(peer.state_dict().values()))
    found = next(iter(module.state_dict().values()))
    torch.testing.assert_close(found, first if channels == 3 else first.sum(1, keepdim=True))
    fitted = "" if channels == 3 else ", first filters for 3 channels made to fit 1"
    assert notes == [
        "starts from torchvision's SqueezeNet1_1_Weights.IMAGENET1K_V1 "
        f"(torchvision names, with a new last layer{fitted})"
    ]
    numbers = "0.485, 0.456, 0.406 and 0.229, 0.224, 0.225" if channels == 3 else "0.449 and 0.226"
    assert f"images are normalized as those weights expect: mean and deviation {numbers}" in plan.notes
    assert plan.dataset.preprocess.mean == pytest.approx((0.485, 0.456, 0.406) if channels == 3 else (0.449,), abs=1e-3)
    assert records(plan)["recipe"]["start"] == {
        "source": "torchvision's SqueezeNet1_1_Weights.IMAGENET1K_V1",
        "file": find_published(NAME).file,
        "sha256": hashlib.sha256(served["bytes"]).hexdigest(),
    }


def test_the_command_starts_from_them_and_the_run_says_which(served, command, shared_pictures, tmp_path):
    words = ["--data", shared_pictures, "--size", "64", "--stem", "large", "--quick", "--batch", "8"]
    answer = command("train", NAME, *words, "--pretrained", "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "starts from torchvision's SqueezeNet1_1_Weights.IMAGENET1K_V1 (torchvision names, with a new" in answer.err
    record = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert record["recipe"]["weights"] == "DEFAULT"
    assert record["start"]["sha256"] == hashlib.sha256(served["bytes"]).hexdigest()
    assert json.loads((tmp_path / "run" / "preprocess.json").read_text())["mean"] == [0.485, 0.456, 0.406]
    # A run from that run, normalized as it was.
    answer = command("train", NAME, *words, "--weights", tmp_path / "run", "--out", tmp_path / "again")
    assert answer.code == 0, answer.err
    assert f"starts from {tmp_path / 'run'} (Convsmith names)" in answer.err
    assert json.loads((tmp_path / "again" / "preprocess.json").read_text())["mean"] == [0.485, 0.456, 0.406]
    step = json.loads((tmp_path / "run" / "last.json").read_text())["step"]
    weights = tmp_path / "run" / "checkpoints" / f"{step:08d}" / "model.safetensors"
    assert json.loads((tmp_path / "again" / "recipe.json").read_text())["start"] == {
        "source": str(tmp_path / "run"),
        "file": "model.safetensors",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }


@pytest.fixture
def served_resnet(served, monkeypatch):
    """A ResNet-18 on the server in place of the other network."""
    torch.manual_seed(0)
    buffer, own = io.BytesIO(), peers.resnet18(weights=None)
    torch.save(own.state_dict(), buffer)
    digits = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    name = f"resnet18-{digits}.pth"
    url, files = f"https://example.org/{name}", (PublishedFile(name, digits),)
    found = replace(find_published("resnet18"), url=url, files=files)
    monkeypatch.setattr(start, "find_published", lambda name, entry: found)
    served["bytes"] = buffer.getvalue()
    return own


def test_small_images_keep_the_first_layers_of_published_weights(served_resnet, shared_pictures, command, tmp_path):
    # As `data stats` advises, whose images have 12 pixels.
    quick = ["--quick", "--quiet", "--batch", "8", "--pretrained"]
    for number, words in enumerate((["resnet18", "--data", shared_pictures], [shared_pictures])):
        answer = command("train", *words, *quick, "--out", tmp_path / f"run{number}")
        assert answer.code == 0, answer.err
        assert json.loads((tmp_path / f"run{number}" / "recipe.json").read_text())["recipe"]["stem"] == "auto"
    recipe = Recipe(network="resnet18").edit(data__source=str(shared_pictures))
    plan = prepare(recipe.edit(weights="DEFAULT"))
    assert "small_images" not in plan.network.edits
    assert plan.network.input.spatial == (12, 12)
    first = next(iter(make_model(plan, []).state_dict().values()))
    assert torch.equal(first, served_resnet.conv1.weight)
    # Who asks for the other stem is told what does not fit.
    with pytest.raises(UsageError, match=r"of this stem for small images \(--stem large has the network's own\)$"):
        make_model(prepare(recipe.edit(weights="DEFAULT", stem="small")), [])


def test_own_images_learn_from_published_weights_as_in_fine_tuning(served_resnet, shared_pictures, command, tmp_path):
    words = ["train", "photos", "--data", shared_pictures, "--size", "32", "--quick", "--quiet", "--precision", "fp32"]
    words += ["--engine.threads", "1", "--pretrained", "--lr", "0.02"]  # which asks for steps
    chosen = command(*words, "--out", tmp_path / "run", "--json").json["finetune"]
    assert chosen["mode"] == "probe"  # 16 images per class are few
    assert (chosen["images_per_class"], chosen["similarity"]["count"]) == (16, 6)
    recipe = choose(str(tmp_path / "run"), None)
    tuning = FineTuning("probe", at=chosen["at"])
    plain = choose("photos", str(shared_pictures)).edit(
        weights="DEFAULT", data__size=32, quick=True, optimizer__lr=0.02
    )
    expected = prepare_finetuning(plain, tuning).plan.recipe
    assert (recipe.optimizer, recipe.edits, recipe.length) == (expected.optimizer, expected.edits, expected.length)
    state = cs.load(tmp_path / "run").subject().module.state_dict()
    assert torch.equal(next(iter(state.values())), served_resnet.conv1.weight)
    held = {key for key in state if "running_mean" in key}
    assert len(held) > 1
    assert torch.equal(state["stem.norm.running_mean"], torch.zeros(64))
    # Repeated it is what it was, and the runs of a folder learn the same parts.
    again = command("train", tmp_path / "run", "--quiet", "--out", tmp_path / "again", "--json").json
    assert "finetune" not in again
    assert choose(str(tmp_path / "again"), None) == recipe
    answer = command(*[word for word in words if word != "--quiet"], "--repeat", "2", "--out", tmp_path / "set")
    assert answer.code == 0, answer.err
    assert answer.err.startswith("data pictures: ")
    assert "\nmode probe" in answer.err
    assert [choose(str(tmp_path / "set" / f"seed{n}"), None).optimizer for n in (0, 1)] == [recipe.optimizer] * 2
    planned = command(*words, "--dry-run", "--json").json["recipe"]
    assert planned["optimizer"]["rules"] == [config.plain(rule) for rule in recipe.optimizer.rules]


def test_what_learns_from_weights_as_before(trees, photo_run, shared_pictures):
    own = choose("photos", str(shared_pictures))
    started = own.edit(weights="DEFAULT")
    assert tuning_of("photos", started) == tuning_of(None, started) == FineTuning()
    for recipe in (
        own,
        started.edit(name="mine"),
        started.edit(optimizer__rules="rule('norm', weight_decay=0)"),
        started.edit(task="own.py:task"),
        started.edit(network="torchvision:resnet18"),
        started.edit(solver="logistic", augment="", label_smoothing=0),
    ):
        assert tuning_of("photos", recipe) is None
    assert tuning_of(str(photo_run[0]), started) is None


def test_a_named_entry_and_a_file_start_runs_too(served, peer, tmp_path):
    save_file(peer.state_dict(), tmp_path / "w.safetensors")
    for weights in ("IMAGENET1K_V1", str(tmp_path / "w.safetensors")):
        plan = planned(weights=weights, data__channels=3)
        said = f"{weights} does not say how its images were normalized: these are by their own mean"
        assert (said in plan.notes) == weights.endswith("tensors")
        module = make_model(plan, [])
        assert torch.equal(next(iter(module.state_dict().values())), next(iter(peer.state_dict().values())))


def test_a_network_of_torchvisions_own_starts_from_them_too(served, peer):
    recipe = Recipe(network=f"torchvision:{NAME}", quick=True, weights="DEFAULT")
    notes = []
    module = make_model(prepare(recipe.edit(data__source="digits", data__size=64)), notes)
    assert torch.equal(module.features[0].weight, peer.features[0].weight)
    assert module.classifier[1].weight.shape == (10, 512, 1, 1)
    assert notes[0].endswith("(the module's own names, with a new last layer)")


def test_what_cannot_be_started_from(served, refused, command, here, tmp_path):
    words = ["train", NAME, "--quick", "--size", "64", "--data.channels", "3"]
    assert "weights and pretrained both choose the weights to start from" in refused(
        *words, "--pretrained", "--weights", "a.pth"
    )
    assert refused(*words, "--weights", "a.pth").startswith(f"{'a.pth'}: no such file")
    assert refused(*words, "--weights", "IMAGENET1K_V9").startswith("unknown weights of squeezenet1_1 'IMAGENET1K_V9'")
    assert refused("train", "lenet5", "--quick", "--pretrained").startswith("torchvision has no weights for 'lenet5'")
    served["bytes"] = None
    assert "(no route); fetch squeezenet1_1-" in refused(*words, "--pretrained", code=1)
    wrong = tmp_path / "wrong.safetensors"
    save_file({"conv1.weight": torch.zeros(1)}, wrong)
    answer = command(*words, "--weights", wrong)  # what the data are is said before weights are read
    message = answer.err.splitlines()[-1]
    assert answer.code == 2
    assert message.startswith(f"convsmith: {wrong}: do not fit squeezenet1_1 (read with ")
    assert "; unknown 1: conv1.weight" in message
    assert list(here.iterdir()) == []


def test_the_weights_of_a_recipe_go_through_json():
    recipe = replace(Recipe(), weights="IMAGENET1K_V1")
    assert recipe.to_json()["weights"] == "IMAGENET1K_V1"
