"""Identity: which networks, functions and estimators do the same, so that results of one are the other's.

One answer for everything that is reused: features in a store, networks that a process shares, specs of
builders, and what `resume` finds. It is a digest of behaviour: of values, attributes, code and all that
the code refers to, not of what is printed. What belongs to an installed package is known by its name
and the version of the package; what cannot be read is known as this object, in this process.
"""

from sktransfer.identity.identity import Identity, identity_of
from sktransfer.identity.outside import reads_environment, reads_files
from sktransfer.identity.snapshots import Snapshot, snapshot_of
from sktransfer.identity.tokens import new_token

__all__ = [
    "Identity",
    "Snapshot",
    "identity_of",
    "new_token",
    "reads_environment",
    "reads_files",
    "snapshot_of",
]
