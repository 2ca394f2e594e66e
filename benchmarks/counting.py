"""A step of a pipeline that tells how often it was asked; workers import it by name."""

from __future__ import annotations

import os
from pathlib import Path

from sklearn.base import BaseEstimator, TransformerMixin


class Counted(TransformerMixin, BaseEstimator):
    """Hands on what it gets, and appends the number of its process to a file, a line for each call.

    Parameters
    ----------
    file : str
        File of the lines.
    """

    def __init__(self, file):
        self.file = file

    def fit(self, X, y=None):  # noqa: ARG002 - as scikit-learn calls it
        """Learn nothing."""
        return self

    def transform(self, X):
        """Hand on `X`."""
        with Path(self.file).open("a") as log:
            log.write(f"{os.getpid()}\n")
        return X

    def __sklearn_is_fitted__(self):
        return True
