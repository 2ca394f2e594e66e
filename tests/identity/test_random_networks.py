"""Random small networks that differ in one hidden thing; a longer search ran on thousands of seeds."""

import collections
import enum
import functools
import operator
import random
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from sktransfer import DeepFeatureTransformer
from sktransfer.identity import identity_of


class Net(nn.Module):
    """A convolution, and then functions and methods one after the other."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.steps = []

    def forward(self, x):
        x = self.conv(x)
        for step in self.steps:
            x = step(self, x)
        return self.last(x)


class Held:
    def __init__(self, value):
        self.value = value

    def times(self, x):
        return x * self.value


class Slotted:
    __slots__ = ("value",)


class Scale(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x * self.value

    def encode(self, x):
        return x * self.value


def _attribute(hold, read):
    """Keep a value in an attribute; `hold` says in what, `read` how it is found there."""

    def way(net, value, name):
        setattr(net, name, hold(value))
        net.steps.append(lambda self, x: x * read(getattr(self, name)))

    return way


def _slotted(value):
    held = Slotted()
    held.value = value
    return held


def _in_class(member):
    """Put something into a class of its own."""

    def way(net, value, name):
        net.__class__ = type("Net", (type(net),), {name: member(value)})
        net.steps.append(lambda self, x: getattr(self, name)(x))

    return way


def _closure(net, value, name):
    net.steps.append(lambda self, x: x * value)


def _default(net, value, name):
    net.steps.append(lambda self, x, value=value: x * value)


def _function_attribute(net, value, name):
    def step(self, x):
        return x * step.value

    step.value = value
    net.steps.append(step)


def _constant(net, value, name):
    namespace = {}
    exec(f"def step(self, x):\n    return x * {value!r}", namespace)
    net.steps.append(namespace["step"])


def _global(net, value, name):
    namespace = {"VALUE": value}
    exec("def step(self, x):\n    return x * VALUE", namespace)
    net.steps.append(namespace["step"])


def _patched(net, value, name):
    conv, forward = net.conv, net.conv.forward
    conv.forward = lambda x: forward(x) * value


WAYS = {
    "number": _attribute(float, float),
    "list": _attribute(lambda v: [0, [v]], lambda held: held[1][0]),
    "array": _attribute(lambda v: np.array([v]), lambda held: float(held[0])),
    "tensor": _attribute(torch.tensor, float),
    "object": _attribute(lambda v: Held(Held(v)), lambda held: held.value.value),
    "slots": _attribute(_slotted, lambda held: held.value),
    "enum": _attribute(lambda v: enum.Enum("Kind", {"A": v}).A, lambda held: held.value),
    "deque": _attribute(lambda v: collections.deque([v]), lambda held: held[0]),
    "default dict": _attribute(lambda v: collections.defaultdict(int, k=v), lambda held: held["k"]),
    "set": _attribute(lambda v: {v, 0.0}, max),
    "namespace": _attribute(lambda v: types.SimpleNamespace(v=v), lambda held: held.v),
    "buffer": lambda net, v, name: (
        net.register_buffer(name, torch.tensor(v), persistent=False),
        net.steps.append(lambda self, x: x * getattr(self, name)),
    ),
    "method": _in_class(lambda v: lambda self, x: x * v),
    "static method": _in_class(lambda v: staticmethod(lambda x: x * v)),
    "class method": _in_class(lambda v: classmethod(lambda cls, x: x * v)),
    "partial method": _in_class(lambda v: functools.partialmethod(lambda self, k, x: x * k, v)),
    "property": _in_class(lambda v: property(lambda self: lambda x: x * v)),
    "closure": _closure,
    "default": _default,
    "function attribute": _function_attribute,
    "constant": _constant,
    "global": _global,
    "partial": lambda net, v, name: net.steps.append(
        functools.partial(lambda self, x, k: x * k, k=v)
    ),
    "bound method": lambda net, v, name: (
        setattr(net, name, Held(v).times),
        net.steps.append(lambda self, x: getattr(self, name)(x)),
    ),
    "method by name": lambda net, v, name: (
        setattr(net, name, operator.methodcaller("mul", v)),
        net.steps.append(lambda self, x: getattr(self, name)(x)),
    ),
    "module": lambda net, v, name: (
        net.add_module(name, Scale(v)),
        net.steps.append(lambda self, x: getattr(self, name)(x)),
    ),
    "other method of a module": lambda net, v, name: (
        net.add_module(name, Scale(v)),
        net.steps.append(lambda self, x: getattr(self, name).encode(x)),
    ),
    "hook": lambda net, v, name: net.conv.register_forward_hook(lambda m, i, out: out * v),
    "hook before": lambda net, v, name: net.conv.register_forward_pre_hook(
        lambda m, given: (given[0] * v,)
    ),
    "forward of the object": _patched,
    "parametrization": lambda net, v, name: parametrize.register_parametrization(
        net.conv, "weight", Scale(v)
    ),
}


def _build(ways, values):
    net = Net()
    for number, (way, value) in enumerate(zip(ways, values, strict=True)):
        WAYS[way](net, value, f"part_{number}")
    return net.eval()


def _pair(seed):
    """Choose ways to hide values in a network, and change one of the values."""
    rng = random.Random(seed)
    ways = rng.choices(sorted(WAYS), k=rng.randint(1, 4))
    values = [round(rng.uniform(0.5, 2), 2) for _ in ways]
    changed = list(values)
    changed[rng.randrange(len(ways))] += rng.choice([0.01, 0.5])
    return ways, values, changed


@pytest.mark.parametrize("first", range(0, 240, 40))
@torch.no_grad()
def test_networks_that_compute_something_else_are_told_apart_and_equal_ones_are_not(first):
    x = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
    for seed in range(first, first + 40):
        ways, values, changed = _pair(seed)
        one, same, other = _build(ways, values), _build(ways, values), _build(ways, changed)
        identities = [identity_of(net).digest for net in (one, same, other)]
        assert not torch.equal(one(x), other(x)), (seed, ways)
        assert identities[0] == identities[1], (seed, ways)
        assert identities[0] != identities[2], (seed, ways)


@pytest.mark.parametrize("seed", range(6))
def test_they_never_share_a_row_of_a_store(seed):
    ways, values, changed = _pair(seed)
    X = np.random.default_rng(seed).integers(0, 256, (3, 32, 32, 3), np.uint8)

    def features(values, cache):
        return DeepFeatureTransformer(
            _build(ways, values), image_size=32, cache=cache, precision="float32", num_workers=0
        ).transform(X)

    features(values, "memory")
    found, alone = features(changed, "memory"), features(changed, None)
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)
    assert not np.allclose(features(values, "memory"), alone, rtol=1e-5, atol=1e-6)
