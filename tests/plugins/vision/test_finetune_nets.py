"""Networks of the zoo with another head, and parameters that come in from files.

Holds no training; that is in ``test_finetune_task.py``. The gradients of SqueezeNet 1.1 were made
by PyTorch 2.13: functional convolutions, the weights of `drawn`, in the order of the layers.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dope.core import downloads
from dope.core.backend import mx, nd
from dope.core.errors import ConfigError, DataError
from dope.core.task import parameters
from dope.core.training import checkpoint
from dope.plugins.vision import zoo
from dope.plugins.vision.finetune_body import hold, stages
from dope.plugins.vision.finetune_net import SmallNet
from dope.plugins.vision.finetune_params import read_parameters, rows_of
from dope.plugins.vision.zoo import Zoo

GRADIENTS = {
    48: [
        1.5228, 3.4934, 1.0966, 3.7755, 4.1485, 0.96406, 2.3646, 3.8933, 1.1129, 2.6343, 4.0148,
        0.99281, 3.0454, 4.8605, 1.4996, 2.8819, 4.8977, 0.98691, 1.9894, 2.9075, 0.9573, 2.0671,
        2.709, 0.57346, 1.293, 1.698,
    ],
    64: [
        1.6255, 3.1884, 1.3486, 3.6311, 4.3164, 0.79162, 2.0874, 3.3198, 1.0682, 2.7872, 3.7835,
        0.80908, 2.3489, 3.4535, 1.1862, 3.1565, 4.5245, 1.2987, 2.9327, 4.0952, 1.2551, 3.1256,
        3.8996, 0.93537, 2.4571, 2.9401,
    ],
}  # fmt: skip
LOSSES = {48: [1.39532, 1.66934, 1.68982, 1.66665], 64: [1.25818, 1.69732, 1.73778, 1.73541]}


def some(K=5, size=48):
    return SimpleNamespace(shape=(3, size, size), classes=[f"c{k}" for k in range(K)])


def started(net):
    net.initialize()
    return net


def drawn(net):
    """Weights of a seed, in the order of the layers; the last bias lets no output die."""
    rng = np.random.RandomState(0)
    found = list(parameters(started(net)).items())
    for name, p in found:
        fan = np.prod(p.shape[1:]) if name.endswith("weight") else None
        value = rng.normal(size=p.shape) * (np.sqrt(2 / fan) if fan else 0.1)
        p.set_data(nd.array(value + (name == found[-1][0])))
    return net


@pytest.mark.parametrize("hybrid", [True, False])
@pytest.mark.parametrize("size", [48, 64])
def test_squeezenet_has_the_gradients_of_pytorch(size, hybrid):
    net = drawn(Zoo(some(size=size), dropout=0.0))
    net.hybridize(hybrid, static_alloc=hybrid, static_shape=hybrid)
    x = np.random.RandomState(1).normal(size=(4, 3, size, size)).astype(np.float32)
    net(nd.array(x))  # in prediction mode oneDNN lays weights out anew
    with mx.autograd.record():
        losses = mx.gluon.loss.SoftmaxCrossEntropyLoss()(net(nd.array(x)), nd.array([0, 1, 2, 3]))
    losses.backward()
    np.testing.assert_allclose(losses.asnumpy(), LOSSES[size], rtol=1e-4)
    weights = [p for name, p in parameters(net).items() if name.endswith("weight")]
    norms = [float(p.grad().norm().asscalar()) for p in weights]
    np.testing.assert_allclose(norms, GRADIENTS[size], rtol=1e-3)


@pytest.mark.parametrize("network", ["squeezenet1.0", "densenet121", "densenet161", "inceptionv3"])
def test_what_is_put_together_has_whole_blocks_of_channels(network):
    """oneDNN's gradient of concat is wrong for channels that are no multiple of 16 at most."""
    size = 299 if network == "inceptionv3" else 224
    symbol = zoo.made(network, 5)(mx.sym.var("x"))
    inside = symbol.get_internals()
    _, shapes, _ = inside.infer_shape(x=(1, 3, size, size))
    known = dict(zip(inside.list_outputs(), shapes))
    nodes = json.loads(symbol.tojson())["nodes"]
    channels = set()
    for node in nodes:
        if node["op"] == "Concat":
            for number, _, _ in node["inputs"]:
                before = nodes[number]["name"]
                channels.add(known.get(f"{before}_output", known.get(before))[1])
    assert len(channels) > 2 and all(each % 16 == 0 for each in channels)


@pytest.mark.parametrize(
    "network, size",
    [("squeezenet1.1", 224), ("densenet121", 224), ("resnet18_v2", 64), ("mobilenetv2_0.25", 64)],
)
def test_the_last_pooling_is_the_zoos_own_where_that_fits(network, size):
    whole = zoo.made(network, 3)
    x = nd.random.normal(shape=(1, 3, size, size))
    whole.initialize(mx.init.Xavier())
    mine = started(Zoo(some(3, size), network=network))
    wanted = whole(x).asnumpy()
    for (_, theirs), (_, own) in zip(parameters(whole).items(), parameters(mine).items()):
        own.set_data(theirs.data())
    np.testing.assert_allclose(mine(x).asnumpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", ["squeezenet1.1", "mobilenet0.25", "mobilenetv2_0.25"])
@pytest.mark.parametrize("form", ["structural", "legacy", "prefixed"])
def test_a_file_of_the_zoo_is_taken_over_in_each_form(network, form, tmp_path):
    given = zoo.made(network, 7)
    given.initialize(mx.init.Xavier())
    given(nd.zeros((1, 3, 224, 224)))
    file = str(tmp_path / "net.params")
    if form == "structural":
        given.save_parameters(file)
    else:
        strip = given.prefix if form == "legacy" else ""
        given.collect_params().save(file, strip_prefix=strip)
    reuse = ("c1=6", "c0 = 2")
    net = started(Zoo(some(3), network=network, params=file, reuse=reuse))
    before = {k: p.data().asnumpy() for k, p in parameters(net).items()}
    net.start()
    wanted = {k: p.data().asnumpy() for k, p in parameters(given).items()}
    for name, p in parameters(net).items():
        found = p.data().asnumpy()
        if name.startswith("features."):
            np.testing.assert_array_equal(found, wanted[name])
        else:
            np.testing.assert_array_equal(found[1], wanted[name][6])
            np.testing.assert_array_equal(found[0], wanted[name][2])
            np.testing.assert_array_equal(found[2], before[name][2])


def test_a_checkpoint_and_the_folder_of_a_run_are_taken_over(tmp_path):
    given = started(SmallNet(some(4), channels=(4, 8)))
    arrays = {f"parameter/net.{k}": p.data().asnumpy() for k, p in parameters(given).items()}
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    others = {"parameter/source.weight": np.zeros(3), "optimizer/main/0/0": np.ones(2)}
    checkpoint.save(folder, checkpoint.Checkpoint({**arrays, **others}, {}), name="best")
    wrong = {key: value + 1 for key, value in arrays.items()}
    newest = checkpoint.save(folder, checkpoint.Checkpoint(wrong, {}), name="000000009")
    for path, more in ((tmp_path, 0), (folder / "best.npz", 0), (newest, 1)):
        net = started(SmallNet(some(4), channels=(4, 8), params=path, reuse=("all",)))
        net.start()
        for name, p in parameters(net).items():
            np.testing.assert_array_equal(
                p.data().asnumpy(), arrays[f"parameter/net.{name}"] + more
            )
    assert sorted(read_parameters(tmp_path)) == sorted(parameters(given))


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda a: a.pop("features.0.0.weight"), r"it lacks 'features.0.0.weight'$"),
        (lambda a: a.update({"stem.weight": nd.ones(2)}), r"the network has no 'stem.weight'$"),
        (
            lambda a: a.update({"features.1.0.weight": nd.ones((8, 4, 5, 5))}),
            r"'features.1.0.weight' has shape \(8, 4, 5, 5\), the network's \(8, 4, 3, 3\)$",
        ),
    ],
)
def test_misfits_are_named(change, said, tmp_path):
    given = started(SmallNet(some(4), channels=(4, 8)))
    arrays = {name: p.data() for name, p in parameters(given).items()}
    change(arrays)
    nd.save(str(tmp_path / "net.params"), arrays)
    net = started(SmallNet(some(4), channels=(4, 8), params=tmp_path / "net.params"))
    with pytest.raises(ConfigError) as caught:
        net.start()
    assert re.search(said, caught.value.message)


def test_what_is_no_file_of_parameters_is_refused(tmp_path):
    net = started(SmallNet(some(4), channels=(4,), params=tmp_path / "none.params"))
    with pytest.raises(ConfigError, match=r"there is no .*none.params"):
        net.start()
    with pytest.raises(ConfigError, match="has no checkpoint"):
        read_parameters(tmp_path)
    for name, content in (("a.params", b"nothing of the kind"), ("b.params", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} cannot be read as parameters"):
            read_parameters(tmp_path / name)
    nd.save(str(tmp_path / "list.params"), [nd.ones(2)])
    with pytest.raises(DataError, match="have no names"):
        read_parameters(tmp_path / "list.params")


def test_rows_to_reuse_are_read_and_wrong_ones_refused(tmp_path):
    assert rows_of(["a b=3", "c=0"], ["c", "a b"]) == [(1, 3), (0, 0)]
    assert rows_of(["all"], ["a", "b"]) == [(0, 0), (1, 1)]
    for text, said in (("c", "not CLASS=NUMBER"), ("c=x", "not CLASS=NUMBER"), ("d=1", "no class")):
        with pytest.raises(ConfigError, match=said):
            rows_of([text], ["c"])
    with pytest.raises(ConfigError, match="no parameters are given"):
        Zoo(some(), reuse=("c1=3",))
    given = started(SmallNet(some(4), channels=(4,)))
    given.save_parameters(str(tmp_path / "net.params"))
    net = started(SmallNet(some(2), channels=(4,), params=tmp_path / "net.params", reuse=("c1=4",)))
    with pytest.raises(ConfigError, match="has 4 classes, there is no number 4"):
        net.start()


def test_wrong_networks_are_refused():
    with pytest.raises(ConfigError, match="no 'squeezenet'") as caught:
        Zoo(some(), network="squeezenet")
    assert "squeezenet1.1" in caught.value.hint
    with pytest.raises(ConfigError, match="too small"):
        Zoo(some(size=16), network="squeezenet1.0")
    with pytest.raises(ConfigError, match="three colours"):
        Zoo(SimpleNamespace(shape=(1, 48, 48), classes=["a", "b"]))
    with pytest.raises(ConfigError, match="both say"):
        Zoo(some(), params="x", pretrained=True)


def test_dropout_is_as_asked():
    def rates(net):
        return [b._rate for b in net.features if isinstance(b, mx.gluon.nn.Dropout)]

    assert rates(Zoo(some())) == [0.5] and rates(Zoo(some(), dropout=0.1)) == [0.1]


def test_layers_with_parameters_are_counted_for_freezing():
    body = Zoo(some()).features  # a convolution and eight Fire modules
    names = [type(layer).__name__ for layer in body]
    assert [len(part) for part in stages(body, "none")] == [0, len(names)]
    assert [len(part) for part in stages(body, "body")] == [len(names), 0]
    still, learned = stages(body, 2)  # the convolution, relu, pooling and the first Fire module
    assert (len(still), len(learned)) == (4, len(names) - 4)
    assert not stages(body, 9)[1]
    with pytest.raises(ConfigError, match="9 layers with parameters"):
        stages(body, 10)


def test_held_batch_normalization_keeps_its_averages():
    net = started(SmallNet(some(), channels=(4, 4), dropout=0.0))
    first, second = (layer[1] for layer in list(net.features)[:2])
    hold(stages(net.features, 1)[0], True)
    with mx.autograd.record():
        scores = net(nd.random.normal(1, shape=(8, 3, 48, 48)))
    scores.backward()  # which is where MXNet moves the averages
    assert (first.running_mean.data().asnumpy() == 0).all()
    assert (second.running_mean.data().asnumpy() != 0).any()


class Mirror:
    """Stands for pooch: serves one ZIP archive, or none."""

    def __init__(self, content=None):
        self.content, self.asked = content, []

    def retrieve(self, url, known, fname, path):
        self.asked.append((url, known))
        if self.content is None:
            raise OSError("no such host")
        target = Path(path) / fname
        target.write_bytes(self.content)
        return str(target)


def archive(name, content, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr("../evil", b"out")
        made.writestr(name, content)
    return (tmp_path / "x.zip").read_bytes()


@pytest.fixture
def caches(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "cache_folder", lambda name: tmp_path / "dope" / name)
    monkeypatch.setattr(mx.base, "data_dir", lambda: str(tmp_path / "mxnet"))
    return tmp_path


def test_published_parameters_come_from_a_cache_or_a_checked_archive(caches, monkeypatch):
    import pooch

    content = b"the parameters"
    sha1 = hashlib.sha1(content).hexdigest()
    known = mx.gluon.model_zoo.model_store._model_sha1
    assert known["squeezenet1.1"] == "33ba0f93753c83d86e1eb397f38a667eaf2e9376"
    monkeypatch.setitem(known, "squeezenet1.1", sha1)
    name = f"squeezenet1.1-{sha1[:8]}.params"
    served = Mirror(archive(name, content, caches))
    monkeypatch.setattr(pooch, "retrieve", served.retrieve)
    found = zoo.published("squeezenet1.1")
    assert found == caches / "dope" / "models" / name and found.read_bytes() == content
    assert served.asked == [(zoo.MIRRORS[0] + name.replace(".params", ".zip"), None)]
    assert not (caches / "dope" / "evil").exists() and list(found.parent.iterdir()) == [found]
    assert zoo.published("squeezenet1.1") == found and len(served.asked) == 1
    found.unlink()
    other = caches / "mxnet" / "models" / name
    other.parent.mkdir(parents=True)
    other.write_bytes(content)
    assert zoo.published("squeezenet1.1") == other and len(served.asked) == 1
    other.write_bytes(b"damaged")
    served.content = archive(name, b"something else", caches)
    with pytest.raises(DataError, match="not the published file"):
        zoo.published("squeezenet1.1")
    assert not found.exists()


def test_without_a_network_it_is_said_where_the_file_may_go(caches, monkeypatch):
    import pooch

    monkeypatch.setattr(pooch, "retrieve", Mirror().retrieve)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        zoo.published("resnet18_v1")
    assert "model.params=FILE" in caught.value.hint and str(caches) in caught.value.hint
    Zoo(some(), pretrained=True)  # asks for nothing before it is started


def test_digests_of_both_kinds(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"x" * 3_000_000)
    for kind in ("sha1", "sha256"):
        digest = hashlib.new(kind, file.read_bytes()).hexdigest()
        assert downloads.matches(file, f"{kind}:{digest}")
        assert not downloads.matches(file, f"{kind}:{digest[::-1]}")
    assert downloads.matches(file, hashlib.sha256(file.read_bytes()).hexdigest())
