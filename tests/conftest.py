# ruff: noqa: E402 - the environment is set before the libraries that read it are imported
"""Every test runs without a network, on one of two processes, with the same seeds."""

import os

# Before numpy and torch start their threads; processes that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # Torch starts as many threads as MKL is allowed, so who allows OpenMP one means both.
    _allowed = os.environ.get(_name, os.environ.get("OMP_NUM_THREADS", "2"))
    _most = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2  # two processes share the cores
    os.environ[_name] = str(min(_most, int(_allowed)))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"  # plots are drawn into memory, also by documentation

import random
import socket

import numpy as np
import pytest
import torch

from sktransfer.backbones import clear_backbones
from sktransfer.datasets import load_digit_images
from sktransfer.features.engine import Engine
from sktransfer.features.store import open_store

torch.set_num_threads(min(_most, torch.get_num_threads()))


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    """Let sockets reach this machine only; anything else raises what a lost network would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _only_loopback(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _only_loopback(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", _only_loopback_names(socket.getaddrinfo))
        yield


def _only_loopback(connect):
    def guarded(self, address):
        _refuse_unless_local(address[0] if isinstance(address, tuple) else None)
        return connect(self, address)

    return guarded


def _only_loopback_names(getaddrinfo):
    def guarded(host, *args, **kwargs):
        _refuse_unless_local(host)
        return getaddrinfo(host, *args, **kwargs)

    return guarded


def _refuse_unless_local(host):
    """Unix sockets have no host and are local."""
    if isinstance(host, bytes):
        host = host.decode()
    if host not in (None, "", "localhost", "::1") and not host.startswith("127."):
        raise ConnectionError(f"tests run without a network, and one asked for {host!r}")


@pytest.fixture(autouse=True)
def _same_seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries under test may use the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits():
    """The bundled digit images; read-only, because all tests share them."""
    bunch = load_digit_images()
    bunch.X.flags.writeable = bunch.y.flags.writeable = False
    return bunch


@pytest.fixture
def batches_run(monkeypatch):
    """The number of images of each batch that goes through a network that is only run."""
    sizes, run = [], Engine.run

    def counted(self, pixels, preprocessing):
        sizes.append(len(pixels))
        return run(self, pixels, preprocessing)

    monkeypatch.setattr(Engine, "run", counted)
    return sizes


@pytest.fixture
def empty_caches():
    """A function that forgets all features in memory and all networks that the process shares.

    It is called before the test and after it.
    """

    def empty():
        open_store("memory").clear()
        clear_backbones()  # and, with the networks, what was made ready and measured of them

    empty()
    yield empty
    empty()
