"""What code takes from outside: files and the environment, whose content no identity covers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["reads_environment", "reads_files"]

_ENVIRONMENT = frozenset({"open", "environ", "environb", "getenv"})
_FILES = _ENVIRONMENT | {
    "load", "load_file", "load_model", "load_state_dict", "load_weights", "load_checkpoint",
    "load_state_dict_from_url", "loadtxt", "fromfile", "memmap", "from_pretrained", "read",
    "read_bytes", "read_text", "read_csv", "urlopen", "urlretrieve", "hub",
}  # fmt: skip


def reads_environment(names: Iterable[str]) -> bool:
    """Tell whether code that uses these names may open files or read variables of the environment.

    Examples
    --------
    >>> reads_environment({"torch", "relu"}), reads_environment({"os", "environ"})
    (False, True)
    """
    return not _ENVIRONMENT.isdisjoint(names)


def reads_files(names: Iterable[str]) -> bool:
    """Tell whether code that uses these names may load something, or names a file that is there.

    Examples
    --------
    >>> reads_files({"torch", "load"}), reads_files({"resnet18"})
    (True, False)
    """
    names = set(names)
    return not _FILES.isdisjoint(names) or any(map(_is_file, names))


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long, or a character of zero
        return False
