"""What a network computes, as one digest: two of equal weights may differ in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sktransfer.identity import identity_of, new_token, reads_environment

if TYPE_CHECKING:
    from torch import nn

    from sktransfer.backbones.spec import BackboneSpec

__all__ = ["architecture_of"]


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
    leave_out = None if spec is None else spec.is_head
    identity = identity_of(module, leave_out=leave_out, trusts_versions=True)
    # What lies outside may have changed since the last time.
    return new_token() if reads_environment(identity.names) else identity.digest
