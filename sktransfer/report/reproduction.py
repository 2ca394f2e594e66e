"""Reproduction: an estimator as the lines of Python that make it."""

from __future__ import annotations

import importlib
import inspect
import math
import os
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from sktransfer.adaptation.target_rows import last_step, learns_from_unlabelled
from sktransfer.segmentation.estimator import MaskEstimator

__all__ = ["code_of"]

_WIDTH = 88


class _Writer:
    """Collects what has to be imported, what cannot be written down, and which files lie somewhere."""

    def __init__(self) -> None:
        self.imports: dict[str, set[str]] = {}
        self.missing: dict[str, str] = {}
        self.files: dict[str, str] = {}

    def write(self, value: object, name: str, indent: int) -> str:
        """Write a value of the parameter `name`."""
        if isinstance(value, Pipeline):
            return self._pipeline(value, indent)
        if isinstance(value, BaseEstimator):
            return self._estimator(value, indent)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, str) and os.path.isabs(value):  # noqa: PTH117 - the text is a name, too
            value = self.files[name] = os.path.basename(value)  # noqa: PTH119
        if value is None or isinstance(value, bool | int | float | str | bytes):
            endless = isinstance(value, float) and not math.isfinite(value)
            return f'float("{value!r}")' if endless else repr(value)
        if isinstance(value, list | tuple):
            entries = [self.write(entry, name, indent) for entry in value]
            comma = "," if isinstance(value, tuple) and len(entries) == 1 else ""
            opening, closing = "[]" if isinstance(value, list) else "()"
            return f"{opening}{', '.join(entries)}{comma}{closing}"
        if isinstance(value, dict):
            pairs = [f"{key!r}: {self.write(entry, name, indent)}" for key, entry in value.items()]
            return "{" + ", ".join(pairs) + "}"
        if inspect.isclass(value) or inspect.isroutine(value):
            home = _home(value)
            if home is not None:
                return self._imported(home, value.__name__)
        self.missing[name] = type(value).__name__
        return name

    def _pipeline(self, pipeline: Pipeline, indent: int) -> str:
        start = self._imported("sklearn.pipeline", "Pipeline")
        inner = " " * (indent + 8)
        steps = [
            f"{inner}({name!r}, {self.write(step, name, indent + 8)}),\n"
            for name, step in pipeline.steps
        ]
        outer = " " * (indent + 4)
        return f"{start}(\n{outer}[\n{''.join(steps)}{outer}]\n{' ' * indent})"

    def _estimator(self, estimator: BaseEstimator, indent: int) -> str:
        kind = type(estimator)
        home = _home(kind)
        if home is None:
            self.missing[kind.__name__] = "class"
        start = kind.__name__ if home is None else self._imported(home, kind.__name__)
        given = [
            f"{name}={self.write(value, name, indent + 4)}"
            for name, value in _changed(estimator).items()
        ]
        line = f"{start}({', '.join(given)})"
        if len(line) + indent <= _WIDTH and "\n" not in line:
            return line
        inner = " " * (indent + 4)
        return f"{start}(\n" + "".join(f"{inner}{one},\n" for one in given) + " " * indent + ")"

    def _imported(self, home: str, name: str) -> str:
        if home != "builtins":
            self.imports.setdefault(home, set()).add(name)
        return name


def code_of(estimator: object) -> str:
    """Write the code that makes, fits and uses an estimator like this one.

    Parameters
    ----------
    estimator : estimator
        Fitted or not. Parameters that have their defaults are left out; what has no spelling in
        Python, such as a network of the user's own, is named, with a comment that says so. Of absolute
        paths the last part is written: folders of this machine are nobody else's.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> print(code_of(SVC(C=10)))
    from sklearn.svm import SVC
    <BLANKLINE>
    # X: images, as paths, arrays or PIL images; y: their labels
    model = SVC(C=10)
    model.fit(X, y)
    print(model.predict(X[:5]))
    """
    writer = _Writer()
    model = writer.write(estimator, "estimator", 0)
    imports = [
        f"from {home} import {', '.join(sorted(names))}"
        for home, names in sorted(writer.imports.items())
    ]
    of_masks = isinstance(estimator, MaskEstimator)
    what = "masks" if of_masks else "labels"
    comments = [f"# X: images, as paths, arrays or PIL images; y: their {what}"]
    data = "X, y"
    if has_fit_parameter(estimator, "X_target"):
        data += ", X_target=X_target"
        comments.append("# X_target: images of the target domain, without labels")
    if not of_masks and learns_from_unlabelled(estimator):
        without = last_step(estimator).unlabeled
        comments = [
            f"# X: all images, as paths, arrays or PIL images; y: labels, {without!r} for images without"
        ]
    comments += [f"# {name}: your own {kind}" for name, kind in writer.missing.items()]
    comments += [f"# {name}: the path of {file} with you" for name, file in writer.files.items()]
    lines = [*comments, f"model = {model}", f"model.fit({data})", "print(model.predict(X[:5]))"]
    return "\n".join([*imports, "", *lines] if imports else lines)


def _changed(estimator: BaseEstimator) -> dict[str, object]:
    """List the parameters that do not have their defaults."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(estimator)).parameters.items()
    }
    given: dict[str, object] = estimator.get_params(deep=False)
    return {
        name: value
        for name, value in given.items()
        if name not in defaults or repr(value) != repr(defaults[name])
    }


def _home(thing: Any) -> str | None:
    """Find the shortest module from which something can be imported by its name."""
    parts = thing.__module__.split(".")
    for end in range(1, len(parts) + 1):
        home = ".".join(parts[:end])
        try:
            found = getattr(importlib.import_module(home), thing.__name__, None)
        except ImportError:
            continue
        if found is thing and home != "__main__":
            return home
    return None
