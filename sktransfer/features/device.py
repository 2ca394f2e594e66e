"""Where and how precisely a network computes: "auto" becomes a device and a dtype."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

import torch

from sktransfer.exceptions import DeviceError
from sktransfer.forks import one_thread_in_children
from sktransfer.parameters import check_choice, check_integer
from sktransfer.torch_internals import multiplies_bfloat16, multiplies_float16

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "PRECISIONS",
    "Precision",
    "candidate_precisions",
    "n_usable_cores",
    "resolve_device",
    "resolve_devices",
    "resolve_workers",
    "without_tf32",
]

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)


def resolve_device(device: str | torch.device) -> torch.device:
    """Find a device: the first of CUDA, MPS and CPU that is there if "auto", else that one.

    Raises
    ------
    DeviceError
        If it is not there, or no such thing exists.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    one_thread_in_children()
    if isinstance(device, str) and device == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
        return torch.device(name)
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as exc:
        raise DeviceError(
            f"device={device!r} is no device. Choose 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from exc
    n_devices = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(_has_mps())}
    if (found.index or 0) >= n_devices.get(found.type, 1):
        raise DeviceError(
            f"device={str(device)!r} is not there: torch sees {n_devices['cuda']} CUDA device(s). "
            "Choose 'auto' for the best one there is, or 'cpu'."
        )
    return found


def resolve_devices(device: str | torch.device) -> list[torch.device]:
    """Find all devices that `device` stands for: every GPU, unless one is named by its number.

    Raises
    ------
    DeviceError
        See `resolve_device`.

    Examples
    --------
    >>> resolve_devices("cpu")
    [device(type='cpu')]
    """
    found = resolve_device(device)
    if found.type != "cuda" or found.index is not None:
        return [found]
    return [torch.device("cuda", i) for i in range(torch.cuda.device_count())]


def candidate_precisions(precision: str, device: torch.device) -> tuple[str, ...]:
    """List what a network may compute in: the first that gives the features of float32 is taken.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        "auto" lists the half precisions that the device has hardware for, the faster one first,
        and float32.

    Raises
    ------
    ValueError
        If `precision` is something else.

    Examples
    --------
    >>> candidate_precisions("float32", torch.device("cpu"))
    ('float32',)
    """
    check_choice("precision", precision, PRECISIONS)
    if precision != "auto":
        return (precision,)
    half: tuple[str, ...]
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        half = ("bfloat16", "float16") if major >= 8 else ("float16",) if major >= 7 else ()
    else:
        half = _halves_of_the_cpu() if device.type == "cpu" else ()
    return (*half, "float32")


def n_usable_cores() -> int:
    """Count the cores that this process may use; a worker of joblib may use a part of them."""
    try:
        n_cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        n_cores = os.cpu_count() or 1
    return max(1, min(n_cores, torch.get_num_threads()))


def resolve_workers(num_workers: int | str) -> int:
    """Count the threads that read and decode: those asked for, or one a usable core if "auto".

    Raises
    ------
    ValueError, TypeError
        If it is neither "auto" nor a number of at least 0.

    Examples
    --------
    >>> resolve_workers(3)
    3
    """
    if isinstance(num_workers, str):
        check_choice("num_workers", num_workers, ("auto",))
        return n_usable_cores()
    return check_integer(
        "num_workers", num_workers, 0, "threads that read and decode images, or 'auto'"
    )


@contextmanager
def without_tf32() -> Iterator[None]:
    """Let NVIDIA's cards multiply float32 as it is, and not shortened to the three digits of TF32.

    The settings are torch's own, of the whole process; they are restored.

    Examples
    --------
    >>> with without_tf32():
    ...     torch.backends.cuda.matmul.allow_tf32
    False
    """
    if hasattr(torch.backends.cudnn, "conv"):  # from torch 2.9 on; older names must not be mixed in
        places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
        name, exact = "fp32_precision", cast("object", "ieee")
    else:
        places = (torch.backends.cuda.matmul, torch.backends.cudnn)
        name, exact = "allow_tf32", False
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, exact)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _halves_of_the_cpu() -> tuple[str, ...]:
    """List what the processor multiplies natively; elsewhere half precision is slower, not faster."""
    halves = {"bfloat16": multiplies_bfloat16(), "float16": multiplies_float16()}
    return tuple(name for name, native in halves.items() if native)
