"""Linear layers on a CPU: weights laid out once as oneDNN wants them, and activations in the same pass.

A transformer is linear layers for the most part. `nn.Linear` lays its weights out anew in each call, and the activation
after it reads and writes everything once more. Unlike convolutions, see `fusion`, they are replaced where they are, so
that it works for networks too that cannot be traced.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from sktransfer.torch_internals import multiply, packed_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["PackedLinear", "replace_linears", "watch_linears"]

# What oneDNN calls an activation, and its algorithm.
_ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.SiLU: "swish", nn.GELU: "gelu"}


class PackedLinear(nn.Module):
    """A linear layer and an activation in one pass over the output.

    Its weights have other names than those of `nn.Linear`, so that a network that reads these fails when it is tried.

    Parameters
    ----------
    linear : nn.Linear
        Its weights.
    activation : nn.Module or None
        Activation that follows, of a class that oneDNN knows.
    """

    matrix: Tensor

    def __init__(self, linear: nn.Linear, activation: nn.Module | None) -> None:
        super().__init__()
        self.matrix, self.offset = linear.weight, linear.bias
        self.activation = "none" if activation is None else _ACTIVATIONS[type(activation)]
        self.algorithm = getattr(activation, "approximate", "")
        self.may_pack = False

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., n_in) to (..., n_out)."""
        if self.may_pack:
            self._pack(x)
        return multiply(x, self.matrix, self.offset, self.activation, self.algorithm)

    def _pack(self, x: Tensor) -> None:
        self.may_pack = False
        matrix = packed_matrix(self.matrix.detach(), x.numel() // x.shape[-1])
        if matrix is not None:
            del self.matrix
            self.matrix = matrix


@contextmanager
def watch_linears(module: nn.Module, keep: Sequence[str]) -> Iterator[dict[str, str | None]]:
    """Note in a pass which linear layers are called, and what takes the output of each.

    Parameters
    ----------
    module : nn.Module
        Is run while this is open.
    keep : sequence of str
        Paths of modules whose output must stay what it is.

    Yields
    ------
    dict of str to str or None
        Filled when this closes: for the path of each layer that of the activation that may go with it.
    """
    found: dict[str, str | None] = {}
    last: list[tuple[str, Tensor]] = []  # only one, since all outputs together may be large
    followers: list[tuple[str, str]] = []
    times: Counter[str] = Counter()

    def after_linear(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            times[path] += 1
            last[:] = [(path, output)]

        return hook

    def before_activation(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            times[path] += 1
            if args and last and args[0] is last[0][1]:
                followers.append((last[0][0], path))

        return hook

    handles = []
    hooked = {part for part in module.modules() if part._forward_hooks or part._forward_pre_hooks}
    for path, part in module.named_modules():
        if part in hooked or path in keep:
            continue
        if type(part) is nn.Linear:
            handles.append(part.register_forward_hook(after_linear(path)))
        elif type(part) in _ACTIVATIONS:
            handles.append(part.register_forward_pre_hook(before_activation(path)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    once = {linear: act for linear, act in followers if times[linear] == times[act] == 1}
    found |= {
        path: once.get(path) for path in times if type(module.get_submodule(path)) is nn.Linear
    }


def replace_linears(module: nn.Module, layers: dict[str, str | None]) -> Callable[[], None]:
    """Replace linear layers, and activations that go with them; return what undoes it.

    Parameters
    ----------
    module : nn.Module
        Is changed.
    layers : dict of str to str or None
        See `watch_linears`.
    """
    former: list[tuple[nn.Module, str, nn.Module]] = []

    def put(path: str, new: nn.Module) -> None:
        parent, _, name = path.rpartition(".")
        owner = module.get_submodule(parent)
        former.append((owner, name, owner.get_submodule(name)))
        setattr(owner, name, new)

    def undo() -> None:
        for owner, name, old in former:
            setattr(owner, name, old)

    for path, following in layers.items():
        linear = module.get_submodule(path)
        assert isinstance(linear, nn.Linear)  # `watch_linears` has looked
        activation = module.get_submodule(following) if following else None
        put(path, PackedLinear(linear, activation))
        if following:
            put(following, nn.Identity())
    return undo
