"""The walk over an object and all that it refers to, in an order that is the same in every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import xxhash
from torch import nn

from sktransfer.identity import classes, objects
from sktransfer.identity.code import facts_of
from sktransfer.identity.kinds import visitor_of
from sktransfer.identity.tensors import content_of, known_content_of
from sktransfer.identity.tokens import token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from sktransfer.identity.code import CodeFacts

__all__ = ["TooLargeError", "Walk"]

_MOST = 500_000  # objects; a second's work
_PLAIN = frozenset(
    {int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented)}
)


class TooLargeError(Exception):
    """There is too much to walk over."""


class Walk:
    """Writes down what it sees, each object once.

    Parameters
    ----------
    leave_out, replace : callable or None
        See `identity_of`.
    trusts_versions : bool
        See `identity_of`.
    """

    def __init__(
        self,
        leave_out: Callable[[str], bool] | None,
        replace: Callable[[object], object] | None,
        trusts_versions: bool,
    ) -> None:
        self.leave_out, self.replace, self.trusts_versions = leave_out, replace, trusts_versions
        self.hidden = ""
        self.has_own_code = False
        self._parts: list[bytes] = []
        self._seen: dict[tuple[int, str], int] = {}
        self._alive: list[object] = []  # so that no address is used twice
        self._n_visits = 0
        self.names: set[str] = set()
        self._any_name = False
        # Methods of networks that count only if some code names them.
        self._waiting: list[tuple[int, str, object]] = []

    def put(self, *texts: str) -> None:
        """Write down texts, so that no other texts look the same."""
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            self._parts += (b"%d:" % len(data), data)

    def digest(self) -> str:
        """Digest all that was written down."""
        return xxhash.xxh3_128_hexdigest(b"".join(self._parts))

    def is_new(self, value: object, mode: str = "") -> bool:
        """Tell whether an object is seen for the first time; if not, write down which one it is."""
        number = self._seen.setdefault((id(value), mode), len(self._seen))
        if number == len(self._alive):
            self._alive.append(value)
            return True
        self.put("again", str(number))
        return False

    def was_seen(self, value: object) -> bool:
        """Tell whether an object was seen in any mode."""
        return any((id(value), mode) in self._seen for mode in ("", classes.NAMED))

    def hide(self, value: object) -> None:
        """Write down that an object is this one, since its content cannot be read."""
        self.put("hidden", token_of(value))
        self.hidden = self.hidden or f"a {type(value).__qualname__}"

    def visit(self, value: object) -> None:
        """Write down a value and what it refers to."""
        kind = type(value)
        if kind in _PLAIN:
            self.put(kind.__name__, repr(value))
            if kind is str:  # it may name a method
                self.names.update({str(value), *str(value).split(".")})
            return
        self._n_visits += 1
        if self._n_visits > _MOST:
            raise TooLargeError
        if self.replace is not None:
            value = self.replace(value)
            kind = type(value)
        visitor_of(kind)(self, value)

    def visit_all(self, tag: str, values: Iterable[object]) -> None:
        """Write down values in their order, and how many there are."""
        values = list(values)
        self.put(tag, str(len(values)))
        if all(type(value) in _PLAIN for value in values):
            self.put(repr(values))
            for value in values:
                if type(value) is str:
                    self.names.update({value, *value.split(".")})
            return
        for value in values:
            self.visit(value)

    def visit_attributes(self, attributes: dict[str, object]) -> None:
        """Write down values by their names; what is plain, as most are, at once."""
        plain = {name: value for name, value in attributes.items() if _is_plain(value)}
        self.put("attributes", str(len(attributes)), repr(sorted(plain.items())))
        self.names.update(value for value in plain.values() if type(value) is str)
        for name in sorted(attributes.keys() - plain.keys()):
            self.put(name)
            self.visit(attributes[name])

    def visit_unordered(self, tag: str, values: Iterable[object]) -> None:
        """Write down values in an order that does not depend on the process."""
        digests = []
        for value in values:
            part = Walk(self.leave_out, self.replace, self.trusts_versions)
            part._n_visits = self._n_visits
            part.visit(value)
            part.finish()
            digests.append(part.digest())
            self.hidden = self.hidden or part.hidden
            self.has_own_code |= part.has_own_code
            self._n_visits = part._n_visits
            self.names |= part.names
            self._any_name |= part._any_name
        self.put(tag, *sorted(digests))

    def visit_tensor(self, tensor: torch.Tensor, *, counts: bool = True, own: bool = False) -> None:
        """Write down a tensor; only its type and shape if its values do not count.

        The network's own ones are not read again if versions are to be trusted.
        """
        content = known_content_of if own and self.trusts_versions else content_of
        self.put("tensor")
        if not counts:
            self.put(f"{tensor.dtype} {tuple(tensor.shape)}")
        elif (values := content(tensor)) is not None:
            self.put(values)
        else:
            objects.visit_reduced(self, tensor)
        if type(tensor) not in (torch.Tensor, nn.Parameter):
            classes.visit_class(self, type(tensor))
        if vars(tensor):
            self.visit(dict(sorted(vars(tensor).items())))

    def read_code(self, code: CodeType) -> CodeFacts:
        """Write down what code does; its names are what waiting methods wait for."""
        facts = facts_of(code)
        self.put(facts.digest)
        self.has_own_code = True
        self.names |= facts.names
        self._any_name |= facts.takes_any_name
        return facts

    def wait(self, owner: int, name: str, method: object) -> None:
        """Leave a method until some code names it."""
        self._waiting.append((owner, name, method))

    def number_of(self, value: object, mode: str) -> int:
        """Return the number of an object that was seen."""
        return self._seen[id(value), mode]

    def finish(self) -> None:
        """Write down the methods that some code may call."""
        while True:
            named = [w for w in self._waiting if self._any_name or w[1] in self.names]
            if not named:
                return
            taken = {(owner, name) for owner, name, _ in named}
            self._waiting = [w for w in self._waiting if w[:2] not in taken]
            for owner, name, method in named:
                self.put("method", str(owner), name)
                self.visit(method)


def _is_plain(value: object) -> bool:
    return type(value) in _PLAIN or (
        type(value) is tuple and all(type(item) in _PLAIN for item in value)
    )
