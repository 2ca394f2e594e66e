"""What a network gives its modules besides the output of the one before, such as rotary positions.

A transformer with rotary positions calls each block with the tokens and with the positions, which are the same for
all images of a size. Where that is all, such a network too can go on from the stored output of a stage: its modules
are called again with what the network gave them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from sktransfer.backbones.recording import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["FromImage", "Given", "GivenTo", "SideInputs", "described", "side_inputs_of"]

_PLAIN = (bool, int, float, str, type(None))


class SideInputs(NamedTuple):
    """Arguments of a module besides the first."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


GivenTo: TypeAlias = "Mapping[str, SideInputs]"
"""The side inputs of modules by their paths."""


class FromImage(TorchFunctionMode):
    """Notes which tensors functions of torch compute from an image, while it is active."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._known = WeakTensorKeyDictionary({image: True})

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self._known

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, object] | None = None
    ) -> object:
        depends = any(tensor in self._known for tensor in leaves((args, kwargs or {})))
        output = func(*args, **(kwargs or {}))
        for tensor in leaves(output) if depends else []:
            self._known[tensor] = True
        return output


def described(given: SideInputs, from_image: FromImage) -> tuple[object, ...] | None:
    """Describe side inputs by plain values and the shapes of tensors; None if an image decides them."""
    described: list[object] = []
    for value in _flat((given.args, given.kwargs)):
        if isinstance(value, Tensor) and value not in from_image:
            described.append(tuple(value.shape))
        elif isinstance(value, _PLAIN):
            described.append(value)
        else:
            return None
    return tuple(described)


def side_inputs_of(module: nn.Module, paths: Iterable[str], size: int) -> GivenTo:
    """Find what a network gives some of its modules, by sending one image through it.

    Parameters
    ----------
    module : nn.Module
        Left as it was.
    paths : iterable of str
        Modules with side inputs.
    size : int
        Side of the image in pixels.
    """
    found: dict[str, SideInputs] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found[path] = SideInputs(args[1:], kwargs)

        return hook

    some = next(module.parameters())
    handles = [
        module.get_submodule(path).register_forward_pre_hook(note(path), with_kwargs=True)
        for path in paths
    ]
    try:
        with (
            torch.inference_mode(False),  # whose tensors could not be trained with
            torch.no_grad(),
            torch.autocast(some.device.type, enabled=False),
            _in_eval_mode(module),
        ):
            module(torch.zeros(1, 3, size, size, device=some.device, dtype=some.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return found


class Given(nn.Module):
    """A module that is called with side inputs besides its input."""

    def __init__(self, module: nn.Module, given: SideInputs) -> None:
        super().__init__()
        self.module, self.given = module, given

    def forward(self, values: Tensor) -> Tensor:
        """Map what the module before put out to what this one does."""
        output: Tensor = self.module(values, *self.given.args, **self.given.kwargs)
        return output


def _flat(value: object) -> Iterator[object]:
    """List what nested containers hold."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value


@contextmanager
def _in_eval_mode(module: nn.Module) -> Iterator[None]:
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
