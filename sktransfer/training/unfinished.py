"""A training that was killed goes on: its state after an epoch lies in a folder until it has ended.

The file is named by a digest of all that the weights in the end depend on: the network as it starts,
its inputs and targets, the settings, the seed, and the version of torch. So nothing is ever found for
another training. It holds tensors, numbers and text, nothing that could be executed, and is renamed
into place when it is whole.
"""

from __future__ import annotations

import json
import pickle
import time
import warnings
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xxhash
from skorch.callbacks import Callback
from skorch.history import History

from sktransfer.exceptions import CacheWarning
from sktransfer.identity import identity_of
from sktransfer.training.callbacks import KeepBest, RateSchedule, plain, restore, snapshot
from sktransfer.writing import whole_file

if TYPE_CHECKING:
    from types import TracebackType

    from sktransfer.training.network import TransferNetwork
    from sktransfer.training.settings import TrainingSettings
    from sktransfer.training.supervised import SupervisedRows

__all__ = ["Unfinished", "digest_of_training"]

_EVERY_S = 5.0  # at most so often, as an epoch may be shorter than the writing
_APART = ("run", "make_optimizer")  # settings that do not count, or by their name
_WITH_STATE = (RateSchedule, KeepBest)


class Unfinished(Callback):  # type: ignore[misc] # skorch is untyped
    """Write the state of a training now and then, and begin with the one that was written.

    As a context it removes the file at the end, also at that of a training that fails, but not if it is
    interrupted.

    Parameters
    ----------
    folder : str or path
        Is made if it is not there. One that cannot be written to gives a warning, and nothing is kept.
    digest : str
        Digest of the training, see `digest_of_training`.
    """

    def __init__(self, folder: object, digest: str) -> None:
        self.file = Path(str(folder)).expanduser() / f"training-{digest}.pt"
        self._begun = _read(self.file)
        self._written = time.monotonic()
        self._can_write = True

    @property
    def epochs_done(self) -> int:
        """Number of epochs that need not be run."""
        return 0 if self._begun is None else len(json.loads(self._begun["history"]))

    def on_train_begin(self, net: Any, **_: object) -> None:
        """Put the state that was found in place of the first one; the callbacks before have begun."""
        state, self._begun = self._begun, None
        if state is None:
            return
        restore(net.module_, state["network"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.generator.set_state(state["order"])
        net.stream.states = state["stream"]
        for name, callback in net.callbacks_:
            if isinstance(callback, _WITH_STATE):
                callback.__dict__.update(state["callbacks"][name])
        net.history_ = History(json.loads(state["history"]))

    def on_epoch_end(self, net: Any, **_: object) -> None:
        """Write the state, unless that was done a moment ago."""
        if not self._can_write or time.monotonic() - self._written < _EVERY_S:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.file) as unfinished:
                torch.save(_state_of(net), unfinished)
        except OSError as exc:
            self._can_write = False
            warnings.warn(
                f"the state of the training cannot be kept in {str(self.file.parent)!r} "
                f"({exc.strerror}), so a training that is killed would start from its first epoch.",
                CacheWarning,
                stacklevel=2,
            )
        self._written = time.monotonic()

    def __enter__(self) -> Unfinished:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.file.unlink(missing_ok=True)


def digest_of_training(
    network: TransferNetwork, rows: SupervisedRows, settings: TrainingSettings, seed: int
) -> str | None:
    """Digest what the weights at the end of a training depend on.

    Parameters
    ----------
    network : TransferNetwork
        The network before its first epoch.
    rows : SupervisedRows
        Inputs and targets.
    settings : TrainingSettings
        Settings of the training; how images are read and stored does not count.
    seed : int
        Seed of everything random.

    Returns
    -------
    str or None
        None if the settings hold something that cannot be known again in another process, or that has a
        state of its own.
    """
    if settings.callbacks is not None or settings.net_params or settings.n_views is not None:
        return None
    optimizer = _name_of(settings.make_optimizer)
    counted = [
        getattr(settings, field.name) for field in fields(settings) if field.name not in _APART
    ]
    identity = identity_of([*counted, optimizer])
    if identity.hidden or not optimizer:
        return None
    digest = xxhash.xxh3_128(f"{identity.digest} {seed} torch {torch.__version__}".encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    for part in (rows.train, rows.valid):
        if part is not None:
            for array in (*part.views, part.rows, part.targets, part.weights):
                digest.update(f"{array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _name_of(make_optimizer: object) -> str:
    """Name one of torch's optimisers, whose code changes when it is first used; "" for another."""
    given = make_optimizer.keywords if isinstance(make_optimizer, partial) else {}
    kind = make_optimizer.func if isinstance(make_optimizer, partial) else make_optimizer
    if isinstance(kind, type) and kind.__module__.startswith("torch.optim."):
        return f"{kind.__qualname__} {given}"
    return ""


def _state_of(net: Any) -> dict[str, Any]:
    """Gather what goes on changing while a net trains."""
    return {
        "network": snapshot(net.module_, net.optimizer_),
        "optimizer": net.optimizer_.state_dict(),
        "order": net.generator.get_state(),
        "stream": net.stream.states,
        "callbacks": {
            name: {key: plain(value) for key, value in vars(callback).items() if key.endswith("_")}
            for name, callback in net.callbacks_
            if isinstance(callback, _WITH_STATE)
        },
        "history": json.dumps(net.history.to_list(), default=plain),
    }


def _read(file: Path) -> dict[str, Any] | None:
    """Read a state; None if there is none, or the file is damaged."""
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        json.loads(state["history"])
    except FileNotFoundError:
        return None
    except (
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        KeyError,
        EOFError,
        pickle.UnpicklingError,
    ):
        return None  # it is written anew
    return state
