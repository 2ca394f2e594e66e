"""The identity of an object: a digest of what it does, and whether that could be seen as a whole."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from sktransfer.identity.networks import visit_network
from sktransfer.identity.tokens import new_token
from sktransfer.identity.walk import TooLargeError, Walk

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Identity", "identity_of"]


class Identity(NamedTuple):
    """What decides whether two objects do the same.

    Parameters
    ----------
    digest : str
        32 hexadecimal digits. Equal ones mean equal behaviour.
    hidden : str
        The first thing in the object whose content cannot be read, in words; "" if there is none. Then
        the digest is the same in every process; otherwise it is of this object and this process only.
    names : frozenset of str
        Names of globals and attributes that its code uses, and texts that it holds: they tell whether it
        may depend on something outside, such as a file.
    has_own_code : bool
        Whether some code in it is not of an installed package.
    """

    digest: str
    hidden: str
    names: frozenset[str] = frozenset()
    has_own_code: bool = False


def identity_of(
    value: object,
    *,
    leave_out: Callable[[str], bool] | None = None,
    replace: Callable[[object], object] | None = None,
    trusts_versions: bool = False,
) -> Identity:
    """Compute the identity of a network, a function, an estimator, or anything else.

    It covers numbers, strings, containers, arrays, tensors and attributes of objects by their
    content; functions and classes by their code, defaults, closures and the globals that they use;
    modules of torch with their hooks and all buffers, too. Whether a module is in training mode, its
    gradients and its counters of batches do not count.

    Parameters
    ----------
    value : object
        Is not changed.
    leave_out : callable, optional
        Tells, of the name of a parameter or buffer of a network as in its `state_dict`, whether its
        values do not count.
    replace : callable, optional
        Function that is called with each object that is no plain value, and returns what stands for it; the
        object itself if nothing does.
    trusts_versions : bool, default=False
        Whether the network's own tensors are read again only if torch has counted a change. It does not
        count those that are made through `Tensor.data` or an array that shares their memory.

    Returns
    -------
    Identity

    Examples
    --------
    >>> from functools import partial
    >>> from torch import nn
    >>> identity_of(nn.ReLU()) == identity_of(nn.ReLU())
    True
    >>> identity_of(partial(max, 1)) == identity_of(partial(max, 2))
    False
    >>> identity_of(iter([1])).hidden
    ''
    >>> identity_of(number for number in [1]).hidden
    'a generator'
    """
    walk = Walk(leave_out, replace, trusts_versions)
    try:
        if isinstance(value, nn.Module):
            visit_network(walk, value, "")
        else:
            walk.visit(value)
        walk.finish()
    except (RecursionError, TooLargeError):
        return Identity(
            new_token(), f"a {type(value).__name__} of too many parts", frozenset(), True
        )
    if walk.has_own_code:  # whose bytes are those of this version
        walk.put(platform.python_implementation(), ".".join(platform.python_version_tuple()[:2]))
    return Identity(walk.digest(), walk.hidden, frozenset(walk.names), walk.has_own_code)
