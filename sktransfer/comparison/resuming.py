"""What has been finished is kept: one JSON file for each setting of a candidate on each fold.

A file is named by a digest of all that its content depends on: the images, their labels and the
rows of the fold; the candidate's estimator with every parameter of the setting; the scoring; and
the version of this package. So nothing is ever found for something else, and a comparison that was
killed, started again, does only what is missing. Files hold names, scores and times, nothing that
could be executed, and are renamed into place when they are whole.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import torch
import xxhash
from sklearn.base import BaseEstimator

import sktransfer
from sktransfer.exceptions import CacheError
from sktransfer.features.store import content_key
from sktransfer.images import ImageShape, as_image_sequence

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Journal", "describe", "digest_of_images", "key_of"]

# Parameters that say how something is computed, not what: they may differ after the interruption.
_HOW = frozenset({"cache", "n_jobs", "num_workers", "verbose"})


class Journal:
    """Finished results in a folder.

    Parameters
    ----------
    folder : Path
        Is made if it is not there.

    Raises
    ------
    CacheError
        If the folder cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = Journal(Path(folder, "journal"))
    ...     journal.write("some key", {"score": 0.5})
    ...     journal.read("some key"), journal.read("another key")
    ({'score': 0.5}, None)
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise CacheError(
                f"resume={str(folder)!r} cannot be used as a folder ({exc.strerror}). Pass the "
                "path of a folder that can be written to, or None to keep nothing."
            ) from exc

    def read(self, key: str) -> dict[str, Any] | None:
        """Find what was written under a key; None if nothing was, or the file is damaged."""
        try:
            content = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return content["result"] if _is_whole(content, key) else None

    def write(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep a result; whoever is killed meanwhile leaves either the whole file or none."""
        path = self._path(key)
        unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
        content = {"key": key, "result": dict(result)}
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        unfinished.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / f"{xxhash.xxh3_128_hexdigest(key.encode())}.json"


def _is_whole(content: Any, key: str) -> bool:
    return (
        isinstance(content, dict)
        and content.get("key") == key
        and isinstance(content.get("result"), dict)
    )


def digest_of_images(X: Any, image_shape: ImageShape = None) -> str:
    """Digest the content of images, in their order; files are read, not decoded.

    Parameters
    ----------
    X : images or anything else that joblib can hash
        What is no images, such as a table of several columns, is hashed as it is.
    image_shape : tuple of int, "row" or None, default=None
        Layout of flattened rows.

    Returns
    -------
    str
    """
    try:
        images = as_image_sequence(X, image_shape=image_shape)
        digest = xxhash.xxh3_128(str(image_shape).encode())
        for row in range(len(images)):
            digest.update(content_key(images.read(row)))
    except (TypeError, ValueError):
        return str(joblib.hash(X))
    return digest.hexdigest()


def describe(value: Any) -> Any:
    """Put a parameter, or an estimator with all of its own, in words that are the same in every process.

    Parameters
    ----------
    value : object
        Numbers, strings and containers are described by what they are; estimators by their class
        and parameters, and the state of a file of weights; functions by their code; arrays and
        modules by their content; and everything else by its pickle.

    Returns
    -------
    object
        Made of what JSON knows.

    Raises
    ------
    TypeError
        If there is something in it that cannot be pickled.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> describe(DummyClassifier(random_state=3))["random_state"]
    3
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, BaseEstimator):
        params = {k: v for k, v in value.get_params(deep=False).items() if k not in _HOW}
        state = _state_of_file(params.get("weights"))
        return {"class": _name(type(value)), **describe(params), **state}
    if isinstance(value, type):
        return _name(value)
    if isinstance(value, np.generic | np.ndarray):
        return _describe_array(np.asarray(value))
    if isinstance(value, torch.nn.Module):
        tensors = {name: _describe_tensor(t) for name, t in value.state_dict().items()}
        return {"module": str(value), **tensors}
    if isinstance(value, os.PathLike | torch.device | torch.dtype):
        return str(value)
    if isinstance(value, FunctionType):
        return _describe_function(value)
    try:
        return f"{type(value).__name__} {xxhash.xxh3_128_hexdigest(pickle.dumps(value))}"
    except (pickle.PicklingError, AttributeError, TypeError) as exc:
        raise TypeError(
            f"a candidate's parameter {value!r} cannot be told from others after an interruption, "
            "because it cannot be pickled. Use a function or a class of a module instead."
        ) from exc


def key_of(**parts: Any) -> str:
    """Join what a result depends on to one line of text."""
    parts["sktransfer"] = sktransfer.__version__
    return json.dumps(describe(parts), sort_keys=True)


def _describe_function(function: FunctionType) -> list[Any]:
    """Tell functions apart by what they do, so that lambdas are possible."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    bound = [describe(list(function.__defaults__ or ())), describe(cells)]
    return [
        f"{function.__module__}.{function.__qualname__}",
        _describe_code(function.__code__),
        *bound,
    ]


def _describe_code(code: CodeType) -> list[Any]:
    constants = [
        _describe_code(const) if isinstance(const, CodeType) else repr(const)
        for const in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), constants]


def _state_of_file(weights: Any) -> dict[str, int]:
    """Tell apart two states of a file of weights, which a path alone does not."""
    if not isinstance(weights, str | os.PathLike) or not Path(weights).is_file():
        return {}
    state = Path(weights).stat()
    return {"size of weights": state.st_size, "time of weights": state.st_mtime_ns}


def _describe_array(array: NDArray[Any]) -> str:
    if array.dtype.hasobject:
        return f"array {joblib.hash(array)}"
    content = xxhash.xxh3_128_hexdigest(np.ascontiguousarray(array).data)
    return f"array {array.dtype.str} {array.shape} {content}"


def _describe_tensor(tensor: torch.Tensor) -> str:
    return _describe_array(tensor.detach().cpu().float().numpy())


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
