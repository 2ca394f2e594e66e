import copy
import functools
import json
import operator
import os
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from torch import nn

from sktransfer.backbones.architecture import architecture_of
from sktransfer.comparison.resuming import identity_of_result
from sktransfer.identity import identity_of

FACTOR = 1.0


class Holder:
    def __init__(self, value):
        self.value = value


class Net(nn.Module):
    """Uses whatever it is given, so that two of them differ in one hidden thing only."""

    def __init__(self, act=torch.relu, factor=1.0, shift=0.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        nn.init.ones_(self.conv.weight)
        self.act, self.factor = act, factor
        self.register_buffer("shift", torch.tensor(shift), persistent=False)

    def middle(self, x):
        return self.act(x) * self.factor * FACTOR + self.shift

    def forward(self, x):
        return self.middle(self.conv(x))

    def train_on(self, images):
        raise NotImplementedError


def _named_net(**members):
    return type("Net", (Net,), members)


def _closure(value):
    def middle(self, x):
        return x * value

    return _named_net(middle=middle)()


def _default(value):
    def middle(self, x, value=value):
        return x * value

    return _named_net(middle=middle)()


def _keyword_default(value):
    def middle(self, x, *, value=value):
        return x * value

    return _named_net(middle=middle)()


def _hooked(value, register="register_forward_hook", **options):
    net = Net()
    getattr(net.conv, register)(lambda *args: None if value is None else args[-1], **options)
    return net


def _patched(function):
    net = Net()
    net.forward = types.MethodType(function, net)
    return net


def _changed(change):
    net = Net()
    change(net)
    return net


def _slotted(value):
    slotted = type("Slotted", (), {"__slots__": ("value",)})()
    slotted.value = value
    return slotted


def _timm(**options):
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model("vit_tiny_patch16_224", depth=1, embed_dim=24, **options)


PAIRS = {
    "number": lambda: (Net(factor=1.0), Net(factor=2.0)),
    "number of another type": lambda: (Net(factor=1), Net(factor=True)),
    "function": lambda: (Net(torch.relu), Net(torch.tanh)),
    "string": lambda: (Net("relu"), Net("tanh")),
    "array": lambda: (Net(factor=np.ones(3)), Net(factor=np.arange(3.0))),
    "tensor": lambda: (Net(factor=torch.ones(3)), Net(factor=torch.arange(3.0))),
    "objects in an array": lambda: tuple(Net(factor=np.array([k, "a"], object)) for k in (1, 2)),
    "nested object": lambda: (Net(factor=[{"a": Holder(1)}]), Net(factor=[{"a": Holder(2)}])),
    "object with slots": lambda: (Net(factor=_slotted(1)), Net(factor=_slotted(2))),
    "hidden module": lambda: tuple(Net(factor=[nn.Hardtanh(-k, k)]) for k in (1.0, 2.0)),
    "buffer outside the state": lambda: (Net(shift=0.0), Net(shift=1.0)),
    "closure": lambda: (_closure(1), _closure(2)),
    "default": lambda: (_default(1), _default(2)),
    "keyword default": lambda: (_keyword_default(1), _keyword_default(2)),
    "another method": lambda: (
        _named_net(middle=lambda self, x: x)(), _named_net(middle=lambda self, x: -x)()
    ),
    "method of the object": lambda: (
        _patched(lambda self, x: self.conv(x)), _patched(lambda self, x: -self.conv(x))
    ),
    "attribute of the class": lambda: (_named_net(scale=1)(), _named_net(scale=2)()),
    "forward hook": lambda: (_hooked(None), _hooked(1)),
    "no hook": lambda: (Net(), _hooked(1)),
    "hook with keywords": lambda: (_hooked(1), _hooked(1, with_kwargs=True)),
    "hook before": lambda: (
        _hooked(1, "register_forward_pre_hook"), _hooked(None, "register_forward_pre_hook")
    ),
    "partial": lambda: tuple(Net(functools.partial(torch.clamp, min=k)) for k in (0, 1)),
    "method by name": lambda: tuple(Net(operator.methodcaller(n)) for n in ("sin", "cos")),
    "bound method": lambda: tuple(Net(nn.Hardtanh(-k, k).forward) for k in (1.0, 2.0)),
    "stride": lambda: (Net(), _changed(lambda net: setattr(net.conv, "stride", (2, 2)))),
    "order of modules": lambda: (
        nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Tanh(), nn.ReLU())
    ),
    "heads of a transformer": lambda: (_timm(num_heads=2), _timm(num_heads=4)),
    "class patched": lambda: (Net(), _changed(lambda net: net.add_module("x", _Patched()))),
}  # fmt: skip


class _Patched(nn.ReLU):
    pass


@pytest.mark.parametrize("name", PAIRS)
def test_networks_that_differ_in_one_hidden_thing_have_different_identities(name):
    one, other = PAIRS[name]()
    assert identity_of(one).digest != identity_of(other).digest
    again, _ = PAIRS[name]()
    assert identity_of(again) == identity_of(one)
    assert not identity_of(one).hidden


def test_a_global_that_forward_uses_counts(monkeypatch):
    net = Net()
    before = identity_of(net)
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert identity_of(net) != before


def test_a_module_of_ones_own_counts_as_far_as_it_is_named(monkeypatch):
    own = types.ModuleType("own")
    own.act, own.other = (lambda x: x), (lambda x: x)
    monkeypatch.setitem(globals(), "own", own)
    net = _named_net(middle=lambda self, x: own.act(x))()
    before = identity_of(net)
    own.other = lambda x: -x
    assert identity_of(net) == before
    own.act = lambda x: -x
    assert identity_of(net) != before


def test_a_module_imported_in_a_function_counts(monkeypatch):
    def middle(self, x):
        from own_functions import act

        return act(x)

    own = types.ModuleType("own_functions")
    own.act = lambda x: x
    net = _named_net(middle=middle)()
    without = identity_of(net)
    monkeypatch.setitem(sys.modules, "own_functions", own)
    before = identity_of(net)
    assert before != without
    own.act = lambda x: -x
    assert identity_of(net) != before


def test_what_somebody_puts_into_a_class_of_a_package_counts(monkeypatch):
    net = nn.Sequential(nn.ReLU())
    before = identity_of(net)
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x)
    assert identity_of(net) != before


def test_a_hook_on_every_module_of_the_process_counts():
    net = Net()
    before = identity_of(net)
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert identity_of(net) != before
    handle.remove()
    assert identity_of(net) == before


@pytest.mark.parametrize("trusts_versions", [False, True])
def test_a_change_in_place_counts(trusts_versions):
    net = Net()
    identities = [identity_of(net, trusts_versions=trusts_versions)]
    changes = (
        lambda: net.conv.weight.detach().add_(1),
        lambda: net.shift.add_(1),
        lambda: setattr(net, "factor", 3.0),
        lambda: setattr(net, "conv", nn.Identity()),
    )
    for change in changes:
        change()
        identities.append(identity_of(net, trusts_versions=trusts_versions))
    assert len(set(identities)) == 1 + len(changes)


def test_a_change_that_torch_does_not_count_is_seen():
    net = Net()
    before = identity_of(net)
    net.conv.weight.data.mul_(2)
    assert identity_of(net) != before


def test_modes_gradients_and_counters_do_not_count():
    net = nn.Sequential(Net(), nn.BatchNorm2d(4))
    before = identity_of(net.eval())
    net.train().requires_grad_(False)
    net[1].num_batches_tracked += 1
    assert identity_of(net) == before


def test_a_method_that_no_code_names_does_not_count():
    one, other = (
        _named_net(train_on=train_on)()
        for train_on in (lambda self, images: images, lambda self, images: -images)
    )
    assert identity_of(one) == identity_of(other)
    calling = _named_net(train_on=lambda self, x: -x, forward=lambda self, x: self.train_on(x))()
    called = _named_net(train_on=lambda self, x: x, forward=lambda self, x: self.train_on(x))()
    assert identity_of(calling) != identity_of(called)
    by_name = [
        _named_net(train_on=train_on, forward=lambda self, x: getattr(self, "train_" + "on")(x))()
        for train_on in (lambda self, x: x, lambda self, x: -x)
    ]
    assert len({identity_of(net) for net in by_name}) == 2


def test_values_of_a_head_can_be_left_out():
    one, other = (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)) for _ in range(2))
    other[0].load_state_dict(one[0].state_dict())

    def leave_out(key):
        return key.startswith("1.")

    assert identity_of(one) != identity_of(other)
    assert identity_of(one, leave_out=leave_out) == identity_of(other, leave_out=leave_out)


def test_what_cannot_be_read_is_this_object_in_this_process():
    net = Net(factor=(number for number in [1]))
    before = identity_of(net)
    assert before.hidden == "a generator"
    assert identity_of(net) == before
    assert identity_of(Net(factor=(number for number in [1]))) != before
    net.shift += 1
    assert identity_of(net) != before


def test_objects_of_packages_are_known_by_what_their_pickle_holds():
    def made(value):
        return [
            pd.DataFrame({"a": [value, 2], "b": ["x", "y"]}), Image.new("L", (2, 2), value),
            np.random.default_rng(value), torch.Generator().manual_seed(value),
            torch.tensor([[0, value]]).to_sparse(), np.tanh if value == 1 else np.sinh,
        ]  # fmt: skip

    for one, same, other in zip(made(1), made(1), made(2), strict=True):
        assert identity_of(Net(factor=one)) == identity_of(Net(factor=same))
        assert identity_of(Net(factor=one)) != identity_of(Net(factor=other))
        assert not identity_of(Net(factor=one)).hidden
    own = np.frompyfunc(lambda x: x, 1, 1)
    assert identity_of(Net(factor=own)).hidden == "a ufunc"


def test_code_that_runs_text_is_this_function_in_this_process():
    nets = [_named_net(middle=lambda self, x: eval("x"))() for _ in range(2)]
    one, other = map(identity_of, nets)
    assert one.hidden == other.hidden == "a function"
    assert one != other


def test_an_endless_chain_of_objects_is_never_the_same():
    first = last = Holder(None)
    for _ in range(5000):
        last.value = Holder(None)
        last = last.value
    assert identity_of(first).hidden == "a Holder of too many parts"
    assert identity_of(first) != identity_of(first)


def test_objects_that_refer_to_each_other_are_read_once():
    def ring(value):
        one, other = Holder(value), Holder(value)
        one.other, other.other = other, one
        return one

    assert identity_of(ring(1)) == identity_of(ring(1)) != identity_of(ring(2))


def test_a_copy_has_the_same_identity():
    net = nn.Sequential(Net(factor={"a": [1, (2, {3})]}), nn.BatchNorm2d(4), nn.Dropout(0.5))
    net[0].register_forward_hook(lambda *_: None)
    assert identity_of(copy.deepcopy(net)) == identity_of(net)


def test_what_torch_traced_is_known_by_its_code():
    one, other = (
        torch.fx.symbolic_trace(nn.Sequential(nn.ReLU(), *more)) for more in ([], [nn.ReLU()])
    )
    assert identity_of(one) == identity_of(copy.deepcopy(one)) != identity_of(other)
    assert not identity_of(one).hidden


def test_an_estimator_that_a_search_does_not_fit_counts_with_what_it_has_learned():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    one, other = (
        FrozenEstimator(LogisticRegression().fit(X, y)) for y in ([0, 0, 1, 1], [0, 1, 0, 1])
    )
    assert identity_of_result(one) != identity_of_result(other)


def test_the_code_of_an_estimator_counts():
    one, other = (
        type("Own", (LogisticRegression,), {"predict": predict})()
        for predict in (lambda self, X: X[:, 0] * 0, lambda self, X: X[:, 0] * 0 + 1)
    )
    assert identity_of_result(one) != identity_of_result(other)


def test_what_else_has_been_imported_of_a_package_does_not_count():
    code = """
import sys
import scipy, torchvision, xml
from torch import nn
from sktransfer.identity import identity_of
class Net(nn.Module):
    def forward(self, x):
        import xml.dom.minidom
        return xml.dom.minidom.parse(scipy.special.expit(torchvision.io.read_image(x)))
if len(sys.argv) > 1:
    import scipy.special, torchvision.io, xml.dom.minidom
print(identity_of(Net()).digest)
"""
    found = [
        subprocess.run([sys.executable, "-c", code, *more], capture_output=True, check=True).stdout
        for more in ([], ["all"])
    ]
    assert found[0] == found[1]


def test_versions_of_packages_count(monkeypatch):
    networks = [torchvision.models.resnet18(), _timm(num_heads=2)]
    before = [architecture_of(network) for network in networks]
    monkeypatch.setattr(torchvision, "__version__", "99")
    assert architecture_of(networks[0]) != before[0]
    assert architecture_of(networks[1]) == before[1]
    monkeypatch.setattr("timm.__version__", "99")
    assert architecture_of(networks[1]) != before[1]


def test_functions_of_torch_that_somebody_has_replaced_count(monkeypatch):
    net = nn.Sequential(nn.ReLU())
    before = identity_of(net)
    monkeypatch.setattr(nn.functional, "relu", lambda x, inplace=False: x)
    assert identity_of(net) != before
    monkeypatch.setattr(nn.functional, "relu", nn.functional.gelu)
    assert identity_of(net) != before


# --- in other processes --------------------------------------------------------------------------

SCRIPT = """
import json, pickle, sys
from pathlib import Path
import numpy as np, torch
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer
from torch import nn
from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import get_backbone
from sktransfer.backbones.architecture import architecture_of
from sktransfer.comparison.resuming import key_of
from sktransfer.datasets import load_digit_images
from sktransfer.features.store import open_store
from sktransfer.identity import identity_of

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.kinds = {"relu", "tanh", "sigmoid", "gelu"}
        self.act = torch.relu

    def forward(self, x):
        return self.act(self.conv(x)) if "relu" in self.kinds & {"relu", "elu", "selu"} else x

class Own(BaseEstimator):
    def __init__(self, kinds=frozenset({"a", "b", "c", "d"}), act=np.tanh):
        self.kinds, self.act = kinds, act

    def fit(self, X, y):
        self.classes_ = {"x", "y", "z"}
        return self

folder = Path(sys.argv[1])
X, _ = load_digit_images(return_X_y=True)
known = folder / "features.pickle"
if known.exists():
    tiny, net = pickle.loads(known.read_bytes())
else:
    tiny = DeepFeatureTransformer("tiny", cache=folder / "store", num_workers=0).fit(X[:4])
    known.write_bytes(pickle.dumps((tiny, Net())))
    net = pickle.loads(known.read_bytes())[1]
own = DeepFeatureTransformer(Net().eval(), image_size=32, cache=folder / "store", num_workers=0)
own.transform(X[:4]), tiny.transform(X[:4])
print(json.dumps({
    "hits": tiny.cache_info().hits,
    "network": identity_of(Net())[:2], "unpickled": identity_of(net)[:2],
    "packaged": identity_of(get_backbone("resnet18"))[:2],
    "key": key_of(candidate=Own(), scoring=make_scorer(lambda y, z: y in {1, 2, 3}), grid={"a": {"b", "c"}}),
}))
"""


@pytest.mark.slow
def test_identities_are_the_same_whatever_the_hash_seed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    found = []
    for seed in ("0", "1"):
        command = [sys.executable, tmp_path / "script.py", tmp_path]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        found.append(json.loads(done.stdout))
    assert [one.pop("hits") for one in found] == [0, 8]
    assert found[0] == found[1]
    assert found[0]["network"] == found[0]["unpickled"]
    assert found[0]["network"][1] == found[0]["packaged"][1] == ""
