"""What a network computes, as one digest: two of equal weights may differ in it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from sktransfer.identity import Snapshot, identity_of, new_token, reads_environment, snapshot_of

if TYPE_CHECKING:
    from torch import nn

    from sktransfer.backbones.spec import BackboneSpec

__all__ = ["architecture_of"]

_known: weakref.WeakKeyDictionary[nn.Module, tuple[BackboneSpec | None, Snapshot, str]] = (
    weakref.WeakKeyDictionary()
)


def architecture_of(module: nn.Module, spec: BackboneSpec | None = None) -> str:
    """Compute a digest of all that the features of a network depend on.

    Parameters
    ----------
    module : nn.Module
        Is loaded, so that nobody changes its values unseen by torch.
    spec : BackboneSpec, optional
        Leaves out the values of its heads, on which features do not depend.

    Returns
    -------
    str
        32 hexadecimal digits, see :func:`~sktransfer.identity.identity_of`; another text each time if it may
        depend on a file or a variable of the environment.

    Examples
    --------
    >>> from torch import nn
    >>> average, maximum = (nn.Sequential(nn.ReLU(), pool(2)) for pool in (nn.AvgPool2d, nn.MaxPool2d))
    >>> architecture_of(average) == architecture_of(maximum)
    False
    """
    known = _known.get(module)
    if known is not None and known[0] is spec:
        now = snapshot_of(module, checks=False)
        if now is not None and known[1].equals(now):
            return known[2]
    leave_out = None if spec is None else spec.is_head
    identity = identity_of(module, leave_out=leave_out, trusts_versions=True)
    # What lies outside may have changed since the last time.
    if reads_environment(identity.names):
        return new_token()
    snapshot = None if identity.has_own_code else snapshot_of(module, checks=True)
    if snapshot is not None:
        _known[module] = spec, snapshot, identity.digest
    return identity.digest
