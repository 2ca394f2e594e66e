"""Which modules of a network run, in which order, and whether each takes what the last put out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sktransfer.backbones.side_inputs import FromImage, SideInputs, described
from sktransfer.torch_internals import version_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

_LISTS = (nn.ModuleList, nn.ModuleDict)

__all__ = ["Run", "cut_at", "trace", "units_around"]


@dataclass(frozen=True)
class Run:
    """One call of a module.

    Parameters
    ----------
    path : str
        Path of the module.
    shape : tuple of int
        Shape of its output, () where this is not one tensor.
    chained : bool
        Whether its first argument was, unchanged, what the run before it put out (the first one:
        the image), and no other depends on the image.
    output : Tensor or None
        Output of the module; later modules may have overwritten it.
    side_inputs : tuple, default=()
        Its other arguments, where it is chained: plain values, and the shapes of tensors.
    """

    path: str
    shape: tuple[int, ...]
    chained: bool
    output: Tensor | None
    side_inputs: tuple[object, ...] = ()


def trace(module: nn.Module, paths: Iterable[str], size: int, n_images: int = 1) -> list[Run]:
    """Send an image through a network and note the calls of some modules.

    Parameters
    ----------
    module : nn.Module
        Is put into eval mode.
    paths : iterable of str
        Modules to watch.
    size : int
        Side of the image in pixels.
    n_images : int, default=1
        Number of images.

    Returns
    -------
    list of Run
        In the order in which they ended. A module that runs twice is there twice. What fails after
        all of them have run, such as a classifier for images of another size, does not matter.
    """
    paths = tuple(paths)
    some = next(module.parameters(), torch.empty(0))
    image = torch.zeros(n_images, 3, size, size, device=some.device, dtype=some.dtype)
    from_image = FromImage(image)
    runs: list[Run] = []
    last: list[tuple[Any, int]] = [(image, version_of(image))]
    entered: dict[str, tuple[object, ...] | None] = {}

    def watch(path: str, watched: nn.Module) -> list[Any]:
        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, object]) -> None:
            tensor, version = last[0]
            # An in-place operation between two modules keeps the tensor but not its version.
            same = bool(args) and args[0] is tensor and version_of(tensor) == version
            others = SideInputs(args[1:], kwargs)
            entered[path] = described(others, from_image) if same else None

        def leave(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            one = output if isinstance(output, Tensor) else None
            shape, others = tuple(one.shape) if one is not None else (), entered[path]
            runs.append(Run(path, shape, others is not None, one, others or ()))
            last[0] = (one, version_of(one) if one is not None else -1)

        return [
            watched.register_forward_pre_hook(enter, with_kwargs=True),
            watched.register_forward_hook(leave),
        ]

    handles = [handle for path in paths for handle in watch(path, module.get_submodule(path))]
    try:
        with torch.no_grad(), from_image:
            module.eval()(image)
    except (RuntimeError, TypeError, ValueError, AssertionError):
        if not paths or not {run.path for run in runs}.issuperset(paths):
            raise
    finally:
        for handle in handles:
            handle.remove()
    return runs


def units_around(
    module: nn.Module, taps: Iterable[str] = (), ran: Container[str] | None = None
) -> list[str]:
    """Split a network into its children, and those around a tap or never called into theirs.

    Parameters
    ----------
    module : nn.Module
        The network.
    taps : iterable of str
        Paths that must be among the result.
    ran : container of str, optional
        Paths of modules that were called; None means all but lists and dictionaries of modules.

    Returns
    -------
    list of str
        Paths; none lies in another, and together they hold every module.
    """
    taps = tuple(taps)
    units: list[str] = []

    def visit(path: str, child: nn.Module) -> None:
        around = any(tap.startswith(f"{path}.") for tap in taps) and path not in taps
        called = not isinstance(child, _LISTS) if ran is None else path in ran
        if around or (not called and any(child.children())):
            for name, grandchild in child.named_children():
                visit(f"{path}.{name}", grandchild)
        else:
            units.append(path)

    for name, child in module.named_children():
        visit(name, child)
    return units


def cut_at(runs: Sequence[Run], taps: Iterable[str]) -> tuple[list[list[str]], bool]:
    """Cut the runs of a network's units into stages that end at the taps.

    Parameters
    ----------
    runs : sequence of Run
        As `trace` returns them.
    taps : iterable of str
        Paths of units. Those that do not run, or run more than once, are left out.

    Returns
    -------
    stages : list of list of str
        Paths of each stage's units.
    resumable : bool
        Whether from the end of any stage on the rest is a chain.
    """
    times = Counter(run.path for run in runs)
    ends = {tap for tap in taps if times[tap] == 1}
    stages: list[list[str]] = []
    current: list[str] = []
    waiting = resumable = True
    for run in runs:
        if stages:  # what comes before the end of the first stage may be anything
            waiting = waiting and run.chained and times[run.path] == 1
        if times[run.path] == 1:
            current.append(run.path)
        if run.path in ends:
            stages.append(current)
            current, resumable = [], waiting
    return stages, resumable
