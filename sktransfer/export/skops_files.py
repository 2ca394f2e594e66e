"""`save_model` and `load_model`: files of fitted models that execute nothing when they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktransfer.backbones.presence import weights_are_here
from sktransfer.exceptions import ExportError, WeightsNotFoundError
from sktransfer.export.bombs import refuse_bombs
from sktransfer.export.damaged_trees import refuse_damaged_trees
from sktransfer.export.extras import imported
from sktransfer.export.saved_objects import estimators_in
from sktransfer.export.trusted_types import TRUSTED_TYPES
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.segmentation import PixelClassifier
from sktransfer.writing import check_writable, whole_file

if TYPE_CHECKING:
    import os

__all__ = ["load_model", "save_model"]

_SUFFIX = ".skops"
_RESET = {"cache": "memory", "device": "auto", "memory": None}  # what names places of a machine


def save_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model as a file that executes nothing when it is loaded.

    The file holds numbers, texts and the names of types, in the format of skops. Pre-trained weights
    are referred to by name and digest, unless ``store_weights=True``; trained ones are in it.

    Parameters
    ----------
    model : estimator
        Any of this package, or of scikit-learn with these in it.
    path : str or path
        The file to write, or to replace; it ends in .skops.

    Raises
    ------
    ExportError
        If the model holds a network or a function that was passed as an object, or anything else
        that is not among `TRUSTED_TYPES`.
    ImportError
        If skops is missing.
    ValueError
        If the name ends otherwise.

    See Also
    --------
    load_model : Reads the file.
    export_onnx : A file for places without torch.

    Examples
    --------
    >>> from sktransfer import DeepFeatureTransformer
    >>> save_model(DeepFeatureTransformer("tiny"), "features.skops")  # doctest: +SKIP
    >>> load_model("features.skops")  # doctest: +SKIP
    DeepFeatureTransformer(backbone='tiny')
    """
    (skops,) = imported("skops", "skops.io")
    _check_suffix(path)
    check_writable("path", Path(path))
    for estimator in estimators_in(model):
        _refuse_objects(estimator)
    try:
        data: bytes = skops.dumps(model)
        unknown = sorted(set(skops.get_untrusted_types(data=data)) - set(TRUSTED_TYPES))
    except Exception as exc:  # whatever an attribute of a user's does when it is read
        raise ExportError(
            f"the {type(model).__name__} cannot be written in the format of skops "
            f"({type(exc).__name__}: {exc}). Pickle it, for readers who trust you."
        ) from exc
    if unknown:
        raise ExportError(
            f"the {type(model).__name__} holds {', '.join(unknown)}, which load_model does not trust. "
            "Build it of estimators of sktransfer and scikit-learn alone, or pickle it, for readers "
            "who trust you."
        )
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data)


def load_model(path: str | os.PathLike[str], *, download: bool = False) -> Any:
    """Load a model that `save_model` wrote; the file may come from anybody.

    Only types among `TRUSTED_TYPES`, and those of scikit-learn, numpy and Python that skops trusts,
    are built. What names a place on the writer's machine is reset: `cache` to "memory", `device` to
    "auto", the `memory` of pipelines to None.

    Parameters
    ----------
    path : str or path
        The file.
    download : bool, default=False
        Whether pre-trained weights that the model names may be fetched when it is used. Without it a
        model whose weights are not on this machine is refused.

    Returns
    -------
    estimator
        The model, fitted as it was.

    Raises
    ------
    ExportError
        If the file is damaged, no such file, or holds a type that is not trusted.
    WeightsNotFoundError
        If it names weights that are not on this machine, and `download` is False.
    FileNotFoundError
        If there is no such file.
    ImportError
        If skops is missing.

    See Also
    --------
    save_model : Writes the file.

    Examples
    --------
    >>> load_model("model.skops").predict(["leaf.jpg"])  # doctest: +SKIP
    array(['healthy'], dtype='<U7')
    """
    (skops,) = imported("skops", "skops.io")
    _check_suffix(path)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"path={str(path)!r} does not exist, or is no file. Check the path."
        )
    data = Path(path).read_bytes()
    try:
        refuse_bombs(path, data)
        unknown = sorted(set(skops.get_untrusted_types(data=data)) - set(TRUSTED_TYPES))
        if unknown:
            raise ExportError(
                f"{str(path)!r} holds {', '.join(unknown)}, which is not among TRUSTED_TYPES. Do not "
                "use the file unless you know who wrote it; nothing of it was run."
            )
        model = skops.loads(data, trusted=list(TRUSTED_TYPES))
        for estimator in estimators_in(model):
            refuse_damaged_trees(path, estimator)
    except ExportError:
        raise
    except Exception as exc:  # a crafted file can make anything fail
        raise ExportError(
            f"{str(path)!r} cannot be loaded ({type(exc).__name__}: {str(exc)[:200]}). It must be a "
            "file that save_model wrote, with these versions of the libraries."
        ) from exc
    for estimator in estimators_in(model):
        _reset(estimator)
        if isinstance(estimator, DeepFeatureTransformer | PixelClassifier) and not download:
            _refuse_downloads(path, estimator)
    return model


def _check_suffix(path: str | os.PathLike[str]) -> None:
    if Path(path).suffix != _SUFFIX:
        raise ValueError(
            f"path={str(path)!r} must end in {_SUFFIX}, which tells this kind of file from a pickle. "
            f"For example {str(Path(path).with_suffix(_SUFFIX))!r}."
        )


def _refuse_objects(estimator: Any) -> None:
    """Refuse parameters that are networks or functions: a file without code cannot hold them."""
    for name in ("backbone", "head", "domain_head"):
        value = vars(estimator).get(name)
        if isinstance(value, str | tuple | int | type(None)) or not (
            type(estimator).__module__.startswith("sktransfer.")
        ):
            continue
        raise ExportError(
            f"{name} of the {type(estimator).__name__} is a {type(value).__name__}, and a file that "
            "executes nothing holds no network or function of yours. Pass a name or a weights file: "
            'backbone="resnet50", weights="mine.safetensors"; or a head by its name.'
        )


def _reset(estimator: Any) -> None:
    for name, value in _RESET.items():
        if name in vars(estimator):
            setattr(estimator, name, value)


def _refuse_downloads(
    path: str | os.PathLike[str], features: DeepFeatureTransformer | PixelClassifier
) -> None:
    if getattr(features, "_carried", None) is not None or features.backbone is None:
        return
    if not weights_are_here(features.backbone, features.weights):
        raise WeightsNotFoundError(
            f"{str(path)!r} names the weights {features.weights!r} of {features.backbone!r}, which are "
            "not on this machine, and a file does not decide what is downloaded. Pass download=True "
            "if you want them to be."
        )
