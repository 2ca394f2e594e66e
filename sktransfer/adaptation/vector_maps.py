"""Maps that bring stored vectors of two domains together without gradients, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["MAPS", "Affine", "Displacement", "VectorMaps"]

_REGULARIZATION: Final = 1.0
"""Added to the diagonal of both covariances of standardised vectors (section 3.1 of CORAL's paper)."""

_ENTROPY: Final = 0.05
"""Weight of the entropy of a transport plan, as a share of the largest cost."""

_CLASSES: Final = 0.1
"""Weight of what keeps the classes of the source apart, as a share of the largest cost."""

_PRECISION: Final = 1e-4
"""Mass of the source, of 1, that may be carried wrongly; what is carried to a row changes no more after it."""


@dataclass(frozen=True)
class Affine:
    """Standardises as a domain asks for, and multiplies by a matrix.

    Parameters
    ----------
    scaler : StandardScaler
        Fitted to the vectors of the domain.
    matrix : ndarray of shape (n_features, n_out) or None, default=None
        Factor of standardised vectors; None leaves them as they are.
    """

    scaler: StandardScaler
    matrix: NDArray[np.float64] | None = None

    @classmethod
    def standardizing(cls, X: NDArray[np.floating]) -> Affine:
        """Return the map after which each column of `X` has mean 0 and standard deviation 1."""
        return cls(StandardScaler().fit(X.astype(np.float64)))

    def followed_by(self, matrix: NDArray[np.float64]) -> Affine:
        """Return this map with a matrix after it."""
        return Affine(self.scaler, matrix)

    def __call__(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map vectors."""
        values: NDArray[np.float64] = self.scaler.transform(X.astype(np.float64))
        return values if self.matrix is None else values @ self.matrix


@dataclass(frozen=True)
class Displacement:
    """Moves a vector as the nearest of known vectors was moved (Ferradans et al., 2014, section 5).

    Parameters
    ----------
    first : Affine
        Map before it.
    known, moves : ndarray of shape (n_rows, n_features)
        Known vectors, and how far each was moved.
    """

    first: Affine
    known: NDArray[np.float64]
    moves: NDArray[np.float64]

    def __call__(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map vectors."""
        values = self.first(X)
        moved: NDArray[np.float64] = (
            values + self.moves[pairwise_distances(values, self.known).argmin(axis=1)]
        )
        return moved


@dataclass(frozen=True)
class VectorMaps:
    """The maps of both domains into one space."""

    source: Affine | Displacement
    target: Affine


def standardize(
    source: NDArray[np.floating], target: NDArray[np.floating], _: NDArray[np.generic], __: int
) -> VectorMaps:
    """Give each domain means of 0 and standard deviations of 1."""
    return VectorMaps(Affine.standardizing(source), Affine.standardizing(target))


def coral(
    source: NDArray[np.floating], target: NDArray[np.floating], _: NDArray[np.generic], __: int
) -> VectorMaps:
    """Whiten standardised vectors of the source and give them the covariance of the target.

    Algorithm 1 of Sun, Feng, Saenko, "Return of frustratingly easy domain adaptation", AAAI 2016.
    """
    of_source, of_target = Affine.standardizing(source), Affine.standardizing(target)
    whitened = _power(of_source(source), -0.5)
    return VectorMaps(of_source.followed_by(whitened @ _power(of_target(target), 0.5)), of_target)


def subspaces(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    _: NDArray[np.generic],
    n_components: int,
) -> VectorMaps:
    """Turn the principal axes of the source to those of the target.

    Algorithm 1 of Fernando, Habrard, Sebban, Tuytelaars, "Unsupervised visual domain adaptation using
    subspace alignment", ICCV 2013, on standardised vectors.
    """
    of_source, of_target = Affine.standardizing(source), Affine.standardizing(target)
    most = min(n_components, *source.shape, *target.shape)
    axes = [
        PCA(most, svd_solver="full").fit(mapped).components_.T
        for mapped in (of_source(source), of_target(target))
    ]
    turned = axes[0] @ (axes[0].T @ axes[1])
    return VectorMaps(of_source.followed_by(turned), of_target.followed_by(axes[1]))


def optimal_transport(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    labels: NDArray[np.generic],
    _: int,
) -> VectorMaps:
    """Move each vector of the source to the mean of the target's vectors that its mass is carried to.

    Entropic transport that keeps classes apart (equations 10 and 16 of Courty, Flamary, Tuia,
    Rakotomamonjy, "Optimal transport for domain adaptation", TPAMI 2017), on standardised vectors, by the
    package POT.

    Raises
    ------
    ImportError
        If POT is not installed.
    """
    if find_spec("ot") is None:
        raise ImportError(
            "method='optimal_transport' needs the package POT, which is not installed. Install it with: pip "
            "install POT; or choose 'coral'."
        )
    import ot

    of_source, of_target = Affine.standardizing(source), Affine.standardizing(target)
    known, others = of_source(source), of_target(target)
    cost = pairwise_distances(known, others, metric="sqeuclidean")
    masses = [np.full(len(rows), 1 / len(rows)) for rows in (known, others)]
    _, classes = np.unique(labels, return_inverse=True)
    plan = ot.da.sinkhorn_lpl1_mm(
        masses[0],
        classes,
        masses[1],
        cost / (cost.max() or 1.0),  # all vectors may be one
        _ENTROPY,
        eta=_CLASSES,
        numInnerItermax=1000,
        stopInnerThr=_PRECISION,
    )
    arrived = plan @ others / plan.sum(axis=1, keepdims=True)
    return VectorMaps(Displacement(of_source, known, arrived - known), of_target)


MAPS: Final[dict[str, Callable[..., VectorMaps]]] = {
    "standardize": standardize,
    "coral": coral,
    "subspaces": subspaces,
    "optimal_transport": optimal_transport,
}
"""How domains are brought together, by the name of the method."""


def _power(values: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return a power of the covariance of centred vectors, with the regularisation on its diagonal."""
    covariance = np.cov(values, rowvar=False).reshape(values.shape[1], values.shape[1])
    roots, axes = np.linalg.eigh(covariance + _REGULARIZATION * np.eye(len(covariance)))
    powered: NDArray[np.float64] = axes * roots**exponent @ axes.T
    return powered
