"""What has been finished is kept: one JSON file for each setting of a candidate on each fold.

A file is named by a digest of all that its content depends on: the images, their labels and the
rows of the fold; the candidate's estimator, its own code and every parameter of the setting; the
scoring; and the versions of the packages that these are of. So nothing is ever found for something
else, and a comparison that was killed, started again, does only what is missing. Files hold names,
scores and times, nothing that could be executed, and are renamed into place when they are whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import xxhash
from sklearn.base import BaseEstimator

import sktransfer
from sktransfer.backbones import get_backbone
from sktransfer.exceptions import CacheError, SkTransferError
from sktransfer.features.store import content_key
from sktransfer.identity import Identity, identity_of
from sktransfer.images import ImageShape, as_image_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sktransfer.images.sequences import ImageSequence

__all__ = ["Journal", "digest_of_images", "identity_of_result", "key_of"]

# Parameters that say how something is computed, not what: they may differ after the interruption.
_HOW = frozenset({"cache", "memory", "n_jobs", "num_workers", "verbose"})


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
        What is no images, such as a table of several columns, is hashed as it is, with the content
        of the files that its cells name.
    image_shape : tuple of int, "row" or None, default=None
        Layout of flattened rows.

    Returns
    -------
    str
        An image that cannot be read is known by its name.
    """
    try:
        images = as_image_sequence(X, image_shape=image_shape)
    except (TypeError, ValueError):
        files = "".join(map(_content_of_file, _cells(X)))
        return f"{joblib.hash(X)} {xxhash.xxh3_128_hexdigest(files.encode())}"
    digest = xxhash.xxh3_128(str(image_shape).encode())
    for row in range(len(images)):
        digest.update(_content_of_image(images, row))
    return digest.hexdigest()


def identity_of_result(value: object) -> Identity:
    """Compute the identity of what a result depends on.

    Parameters
    ----------
    value : object
        Estimators count by their class and parameters, but for those that say how something is
        computed, not what; files of weights by their content; names of networks by what they stand for;
        and all else as in :func:`~sktransfer.identity.identity_of`. An identity is returned as it is.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> one, same, other = (identity_of_result(DummyClassifier(random_state=seed)) for seed in (1, 1, 2))
    >>> one == same, one == other
    (True, False)
    """
    return value if isinstance(value, Identity) else identity_of(value, replace=_without_how)


def key_of(**parts: object) -> str:
    """Join what a result depends on to one line of text.

    Raises
    ------
    TypeError
        If there is something in it that cannot be known again in another process.
    """
    identities = {name: identity_of_result(part) for name, part in parts.items()}
    for name, identity in identities.items():
        if identity.hidden:
            raise TypeError(
                f"resume is given, and the {name} holds {identity.hidden}, which cannot be told from "
                "others after an interruption. Use a function or a class of a module instead, or "
                "pass resume=None."
            )
    digests = {name: identity.digest for name, identity in identities.items()}
    return json.dumps({"sktransfer": sktransfer.__version__, **digests}, sort_keys=True)


def _without_how(value: object) -> object:
    """Return what stands for an estimator: its class and the parameters that change its results."""
    if not isinstance(value, BaseEstimator):
        return value
    if _is_kept_by_clone(value):
        return identity_of(value)
    params = {k: v for k, v in value.get_params(deep=False).items() if k not in _HOW}
    return (
        type(value),
        *sorted(params.items()),
        _content_of_file(params.get("weights")),
        _identity_of_name(params.get("backbone")),
        *_identity_of_teacher(params),
    )


def _is_kept_by_clone(estimator: BaseEstimator) -> bool:
    """Tell whether an estimator is fitted, and a search does not fit it anew."""
    return type(estimator).__sklearn_clone__ is not BaseEstimator.__sklearn_clone__


def _identity_of_name(backbone: object) -> str:
    """Return the identity of the network that a name stands for, which may have been registered."""
    try:
        return get_backbone(backbone).identity.digest if isinstance(backbone, str) else ""
    except (SkTransferError, ImportError):  # then fitting fails, and says why
        return ""


def _identity_of_teacher(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what stands for the network that another learns from, if there is one."""
    if "teacher" not in params:
        return ()
    return _content_of_file(params.get("teacher_weights")), _identity_of_name(params["teacher"])


def _content_of_image(images: ImageSequence, row: int) -> bytes:
    try:
        return content_key(images.read(row))
    except (TypeError, ValueError):  # others must still be told by their content
        return xxhash.xxh3_128_digest(
            f"unreadable {images.describe(row)}".encode("utf-8", "surrogatepass")
        )


def _cells(X: Any) -> Iterable[object]:
    """List what a table or an array of objects holds."""
    if isinstance(X, pd.DataFrame):
        columns = (X.iloc[:, number] for number in range(X.shape[1]))
        return (
            cell
            for column in columns
            if not pd.api.types.is_numeric_dtype(column)
            for cell in column
        )
    if isinstance(X, np.ndarray):
        return X.ravel().tolist() if X.dtype.hasobject or X.dtype.kind == "U" else ()
    return X if isinstance(X, Iterable) else ()


def _content_of_file(path: object) -> str:
    """Digest the content of a file; "" if there is none of this name."""
    if not isinstance(path, str | os.PathLike):
        return ""
    try:
        with Path(path).open("rb") as file:
            digest = xxhash.xxh3_128()
            while data := file.read(2**20):
                digest.update(data)
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()
