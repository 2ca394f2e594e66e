"""`DeepCORALClassifier` and `MMDClassifier`: features whose distributions are alike in two domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sktransfer.adaptation.alignments import MMD, Coral
from sktransfer.adaptation.estimator import AdaptedClassifier
from sktransfer.docstrings import documented

if TYPE_CHECKING:
    from sktransfer.adaptation.alignments import Alignment

__all__ = ["DeepCORALClassifier", "MMDClassifier"]


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class DeepCORALClassifier(AdaptedClassifier):
    """A network adapted to an unlabelled target by aligning covariances: Deep CORAL.

    The label loss of the source and the distance of the covariances of the features of both domains
    are minimised together [1]_. There is no domain head and no game, so it is the first thing to
    try. Rows of the target are marked as in :class:`~sktransfer.DANNClassifier`.

    Parameters
    ----------
    lambda_max : float, default=1.0
        Final weight of the distance; 0 trains on the source alone. The distance is that of [1]_,
        divided by four times the square of the number of features, and so a small number.

    See Also
    --------
    DANNClassifier : Adapts by a second head that tells the domains apart.
    MMDClassifier : Aligns means in a kernel's space instead.

    References
    ----------
    .. [1] Sun, Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV
       workshops, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(120, 5)) * np.repeat([[1.0], [3.0]], 60, axis=0)
    >>> y = np.where(np.arange(120) < 60, X[:, 0] > 0, -1)
    >>> model = DeepCORALClassifier(None, bottleneck=8, random_state=0).fit(X, y)
    >>> model.transform(X).shape
    (120, 8)
    """

    def _alignment(self) -> Alignment:
        return Coral()


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class MMDClassifier(AdaptedClassifier):
    """A network adapted to an unlabelled target by the maximum mean discrepancy of its features.

    The label loss of the source and the squared distance of both domains' features, in the space of
    five Gaussian kernels [1]_, are minimised together. There is no domain head and no game. Rows
    of the target are marked as in :class:`~sktransfer.DANNClassifier`.

    Parameters
    ----------
    lambda_max : float, default=1.0
        Final weight of the distance; 0 trains on the source alone.

    See Also
    --------
    DANNClassifier : Adapts by a second head that tells the domains apart.
    DeepCORALClassifier : Aligns covariances instead.

    References
    ----------
    .. [1] Long, Cao, Wang, Jordan, "Learning transferable features with deep adaptation networks",
       ICML 2015.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(120, 5)) + np.repeat([[0.0], [3.0]], 60, axis=0)
    >>> y = np.where(np.arange(120) < 60, X[:, 0] > 0, -1)
    >>> model = MMDClassifier(None, bottleneck=8, random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (120, 2)
    """

    def _alignment(self) -> Alignment:
        return MMD()
