"""LogME: the logarithm of the maximum evidence of labels, given the features of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import blas, eigvalsh_tridiagonal, lapack
from threadpoolctl import threadpool_limits

from sktransfer.labels import check_labelled_features

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["log_evidences", "logme"]

_MAX_STEPS = 200
_TOLERANCE = 1e-7  # of log(alpha / beta); the evidence is flat at its maximum
_EPS = float(np.finfo(np.float64).eps)
_FLATTEST = 1e12  # alpha / beta beyond this many times the largest eigenvalue changes nothing


def logme(features: ArrayLike, y: ArrayLike) -> float:
    """Score features by the evidence that a linear model on them gives to the labels.

    The labels of each class, 1 for its images and 0 for the others, are modelled as ``y = F w + e``
    with weights ``w ~ N(0, I / alpha)`` and noise ``e ~ N(0, I / beta)``. Its evidence integrates
    over all weights, and so does not reward a fit that many weights are needed for.

    Parameters
    ----------
    features : array-like of shape (n_images, n_features)
        Finite; computed in float64. A common factor plays no part.
    y : array-like of shape (n_images,)
        Labels of two or more classes.

    Returns
    -------
    float
        Mean over the classes of the maximum over alpha and beta of the log evidence, in nats an
        image. Comparable between networks on the same images, not between sets of images.

    Raises
    ------
    ValueError
        If the features are not finite, or there is a single class.

    Notes
    -----
    The maximum is found by the fixed-point iteration of [1]_, equation 3, and the value is its
    equation 2. There the matrix of the features is decomposed once for all classes and steps; here
    it is only made tridiagonal, which costs a third of that and is all that either equation needs.

    References
    ----------
    .. [1] You, Liu, Wang, Long, "LogME: practical assessment of pre-trained models for transfer
       learning", ICML 2021.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 3
    >>> informative = np.eye(3)[y] + 0.1 * rng.standard_normal((60, 3))
    >>> logme(informative, y) > logme(rng.standard_normal((60, 3)), y)
    True
    """
    values, codes = check_labelled_features(features, y)
    one_hot = np.eye(codes.max() + 1)[codes]  # (n_images, n_classes)
    return float(log_evidences(values, one_hot).mean())


def log_evidences(
    features: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Maximise the log evidence of each column of targets.

    Parameters
    ----------
    features : ndarray of shape (n, d), dtype float64
        Finite.
    targets : ndarray of shape (n, k), dtype float64
        None of them all zero.

    Returns
    -------
    ndarray of shape (k,), dtype float64
        Divided by n.
    """
    spectrum = _Spectrum.of(np.ascontiguousarray(features), targets)
    return np.array([spectrum.max_log_evidence(k) for k in range(targets.shape[1])])


@dataclass(frozen=True)
class _Spectrum:
    """All that the evidence depends on: ``F' F`` or ``F F'``, whichever is smaller, as Q T Q'.

    T is tridiagonal. With ``t = alpha / beta``, everything is a function of t: the weights
    ``m = (F' F + t)^-1 F' y`` of equation 2, and, for given t, the best beta.
    """

    n: int
    wide: bool  # more features than images
    eigenvalues: NDArray[np.float64]  # (r,), of T
    diagonal: NDArray[np.float64]  # (r,)
    off_diagonal: NDArray[np.float64]  # (r - 1,)
    projected: NDArray[np.float64]  # (r, k): Q' F' y, or Q' y if wide
    squares: NDArray[np.float64]  # (k,): y' y

    @classmethod
    def of(cls, features: NDArray[np.float64], targets: NDArray[np.float64]) -> _Spectrum:
        n, d = features.shape
        wide = d > n
        gram = blas.dsyrk(1.0, features.T, trans=int(wide), lower=1)  # its lower triangle
        projected = targets if wide else features.T @ targets
        diagonal, off_diagonal, projected = _tridiagonal(gram, projected)
        eigenvalues = (
            eigvalsh_tridiagonal(diagonal, off_diagonal) if len(diagonal) > 1 else diagonal
        )
        return cls(
            n,
            wide,
            np.maximum(eigenvalues, 0),
            diagonal,
            off_diagonal,
            projected,
            (targets**2).sum(0),
        )

    def max_log_evidence(self, k: int) -> float:
        """Iterate equation 3 to its fixed point, and return equation 2 there, divided by n."""
        largest = float(self.eigenvalues.max())
        if largest == 0:  # features that are all zero say nothing
            return self._value(float(self.squares[k]), 0.0)
        low, high = 8 * _EPS * max(self.n, len(self.diagonal)) * largest, _FLATTEST * largest
        t = float(self.eigenvalues.mean())
        for _ in range(_MAX_STEPS):
            residual, norm = self._fit(k, t)
            gamma = float((self.eigenvalues / (self.eigenvalues + t)).sum())
            rest = self.n - len(self.diagonal) + float((t / (self.eigenvalues + t)).sum())
            # equation 3: alpha = gamma / m'm, beta = (n - gamma) / |Fm - y|^2
            new = gamma * residual / (rest * norm) if rest * norm > 0 else high
            new = min(max(new, low), high)
            step, t = abs(np.log(new / t)), new
            if step < _TOLERANCE:
                break
        residual, norm = self._fit(k, t)
        shrinking = float(np.log1p(self.eigenvalues / t).sum())
        return self._value(residual + t * norm, shrinking)

    def _fit(self, k: int, t: float) -> tuple[float, float]:
        """Return ``|F m - y|^2`` and ``m' m`` for ``t = alpha / beta``."""
        right = self.projected[:, k]
        *_, solution, info = lapack.dptsv(self.diagonal + t, self.off_diagonal, right)
        if info != 0:
            raise np.linalg.LinAlgError("the features' scales differ too much for float64")
        square = float(solution @ solution)
        if self.wide:  # m = F' solution
            return t * t * square, self._quadratic_form(solution)
        residual = self.squares[k] - float(right @ solution) - t * square
        return max(float(residual), _EPS * float(self.squares[k])), square

    def _quadratic_form(self, vector: NDArray[np.float64]) -> float:
        """Return ``v' T v``."""
        cross = float(self.off_diagonal[: len(vector) - 1] @ (vector[1:] * vector[:-1]))
        return max(float(self.diagonal @ vector**2) + 2 * cross, 0.0)

    def _value(self, energy: float, shrinking: float) -> float:
        """Equation 2 with the beta that is best for given t, ``n / (|Fm - y|^2 + t m' m)``."""
        evidence = self.n / 2 * (np.log(self.n / energy) - np.log(2 * np.pi) - 1) - shrinking / 2
        return float(evidence / self.n)


def _tridiagonal(
    gram: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Reduce a symmetric matrix, given by its lower triangle, to Q T Q'; return T and Q' right."""
    r = len(gram)
    if r == 1:
        return gram[0], np.zeros(1), right  # LAPACK wants an entry, and does not read it
    work = int(lapack.dsytrd_lwork(r, lower=1)[0])
    # Half of it is products of a matrix and a vector, in which threads gain little and, where
    # others use the cores, lose a factor of 80.
    with threadpool_limits(1, user_api="blas"):
        reflectors, diagonal, off_diagonal, tau, _ = lapack.dsytrd(
            gram, lower=1, lwork=work, overwrite_a=1
        )
    # Below its diagonal, the result holds Q as dgeqrf would; Q leaves the first row as it is.
    below = np.asfortranarray(reflectors[1:, :-1])
    rotated, _, _ = lapack.dormqr("L", "T", below, tau, right[1:], 64 * right.shape[1])
    return diagonal, off_diagonal, np.vstack([right[:1], rotated])
