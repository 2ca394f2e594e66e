"""Pillow's warnings are silenced while it decodes, in several threads at once."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, cast

from sktransfer.forks import ForkSafeLock

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["quiet_pillow"]


class _QuietPillow:
    """Silence Pillow's warnings while at least one thread is inside.

    Pillow warns of damaged camera notes, of odd palettes and of bombs, which are either harmless or
    raised by us. `warnings.catch_warnings` puts back the filters that it found, so threads that
    overlap would leave theirs behind; this takes out only the one filter that it put in.
    """

    def __init__(self) -> None:
        self._filter = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
        self._lock = ForkSafeLock()
        self._n_inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            filters = cast("list[object]", warnings.filters)
            if not filters or filters[0] is not self._filter:
                filters.insert(0, self._filter)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                filters = cast("list[object]", warnings.filters)
                filters[:] = [entry for entry in filters if entry is not self._filter]


quiet_pillow = _QuietPillow()
