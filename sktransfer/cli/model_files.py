"""Files of models, of which the ending tells the kind: skops, which executes nothing, or a pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sktransfer.cli.output import whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KINDS", "TRUST", "describe", "is_model", "load", "save"]

KINDS = "a name that ends in .skops makes a file that executes nothing, for passing on; any other a pickle"
"""What commands that write a model say of its name."""

TRUST = (
    "a model file is a pickle, and loading it runs whatever its writer put there: only use files "
    "that you trust"
)
"""What commands that read a pickle say of it."""


def save(model: object, file: Path) -> None:
    """Save a fitted model; an interruption leaves the file that was there."""
    if _is_skops(file):
        from sktransfer.export import save_model

        save_model(model, file)
        return
    import joblib

    with whole_file(file) as unfinished:
        joblib.dump(model, unfinished)


def describe(file: Path) -> str:
    """Say what loading a file does."""
    return "a file of skops, which executes nothing" if _is_skops(file) else TRUST


def is_model(file: Path) -> bool:
    """Tell whether the name of a file is that of a model, as train, compare and joblib write them.

    Examples
    --------
    >>> from pathlib import Path
    >>> is_model(Path("model.joblib")), is_model(Path("photos"))
    (True, False)
    """
    return file.suffix in (".skops", ".joblib", ".pkl", ".pickle")


def load(file: Path, method: str = "predict") -> Any:
    """Load a saved model.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no model, or cannot be loaded.
    """
    if not file.is_file():
        raise FileNotFoundError(f"the model {str(file)!r} does not exist.")
    model = _of_skops(file) if _is_skops(file) else _of_pickle(file)
    if not hasattr(model, method):
        lacking = "no model" if method == "predict" else f"which has no method {method!r}"
        raise ValueError(f"the model {str(file)!r} holds a {type(model).__name__}, {lacking}.")
    return model


def _is_skops(file: Path) -> bool:
    return file.suffix == ".skops"


def _of_skops(file: Path) -> object:
    from sktransfer.export import load_model

    return load_model(file)


def _of_pickle(file: Path) -> object:
    import joblib

    try:
        return joblib.load(file)
    except Exception as exc:  # a pickle can fail in any way
        raise ValueError(
            f"the model {str(file)!r} cannot be loaded ({type(exc).__name__}: {exc}). It must be "
            "a file saved by train, compare or joblib.dump, with these versions of the libraries."
        ) from exc
