"""Files of models, of which the ending tells the kind: skops, which executes nothing, or a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktransfer.cli.output import whole_file
from sktransfer.formatting import as_bytes

if TYPE_CHECKING:
    import argparse

__all__ = ["KINDS", "TRUST", "add_arguments", "describe", "is_model", "load", "save"]

KINDS = "a name that ends in .skops makes a file that executes nothing, for passing on; any other a pickle"
"""What commands that write a model say of its name."""

TRUST = (
    "a model file is a pickle, and loading it runs whatever its writer put there: only use files "
    "that you trust"
)
"""What commands that read a pickle say of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which saved model a command uses, and where its weights are."""
    parser.add_argument(
        "model", type=Path, metavar="MODEL",
        help=f"saved by train or compare; unless it ends in .skops, {TRUST}",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, metavar="FILE",
        help="file of the pre-trained weights, if the model refers to a file that is neither where it "
        "was nor beside the model",
    )  # fmt: skip


def save(model: object, file: Path) -> str:
    """Save a fitted model; an interruption leaves the file that was there.

    Returns
    -------
    str
        The size of the file, and which weights are not in it.
    """
    from sktransfer.export.travelling import carrying_weights, named_weights

    carrying = carrying_weights(model)
    if _is_skops(file):
        from sktransfer.export import save_model

        save_model(carrying, file)
    else:
        import joblib

        with whole_file(file) as unfinished:
            joblib.dump(carrying, unfinished)
    size = as_bytes(file.stat().st_size)
    if carrying is not model:
        return f"{size} with the weights"
    apart = [f"{weights} of {backbone}" for backbone, weights in named_weights(model)]
    if not apart:
        return size
    return f"{size}; the weights {', '.join(apart)} are downloaded where they are lacking"


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


def load(file: Path, method: str = "predict", weights: Path | None = None) -> Any:
    """Load a saved model.

    Parameters
    ----------
    file : Path
        File of the model.
    method : str, default="predict"
        Method that it must have.
    weights : Path or None, default=None
        File of weights that the model refers to; None looks for it beside the model.

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
    if weights is not None and not weights.is_file():
        raise FileNotFoundError(f"--weights {str(weights)!r}: there is no such file.")
    from sktransfer.export.travelling import find_weights

    find_weights(model, file.parent if weights is None else weights)
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
