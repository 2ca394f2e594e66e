"""Inspection: what each image is before any network sees it: readable, its size, mode and digest."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xxhash
from PIL import Image

from sktransfer.exceptions import ImageDecodeError
from sktransfer.features.device import n_usable_cores
from sktransfer.images.pixels import Unusable
from sktransfer.parameters import check_integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from sktransfer.images.sequences import ImageSequence

__all__ = ["Look", "described", "inspect_images", "text_column"]

_RARE = 0.1  # share up to which a mode is odd
_SPREADS = 3.5  # of log sizes beyond which one is odd
_FACTORS = {"area": 2.0, "ratio": 1.5}  # and by at least this factor


class Look(NamedTuple):
    """What one image is, without a network."""

    problem: str
    width: int
    height: int
    mode: str
    format: str
    digest: bytes | None


def inspect_images(images: ImageSequence, num_workers: int | str) -> list[Look]:
    """Read and decode all images; those that cannot be read have a `problem`."""
    n_workers = (
        n_usable_cores()
        if num_workers == "auto"
        else check_integer("num_workers", num_workers, 0, "threads that read and decode, or 'auto'")
    )
    if n_workers == 0 or images.one_reader:
        return [_look_at(images, row) for row in range(len(images))]
    with ThreadPoolExecutor(n_workers, thread_name_prefix="sktransfer-audit") as pool:
        return list(pool.map(lambda row: _look_at(images, row), range(len(images))))


def _look_at(images: ImageSequence, row: int) -> Look:
    """Decode one image and digest its pixels, so that two files of the same pixels are the same."""
    try:
        payload = images.read(row)
        image = images.decode(row, payload)
    except ImageDecodeError as exc:
        reason = exc.__context__
        return Look(
            reason.problem if isinstance(reason, Unusable) else str(exc), 0, 0, "", "", None
        )
    digest = xxhash.xxh3_128_digest(b"%d,%d," % image.size + np.ascontiguousarray(image).tobytes())
    mode, kind = ("RGB", "array") if isinstance(payload, np.ndarray) else _header(payload)
    return Look("", *image.size, mode, kind, digest)


def _header(payload: bytes) -> tuple[str, str]:
    """Read mode and format; of bytes that have been decoded, so that nothing can go wrong."""
    with Image.open(io.BytesIO(payload)) as image:
        return image.mode, image.format or ""


def described(X: object, looks: list[Look]) -> pd.DataFrame:
    """Tabulate paths, problems, sizes, modes and formats, and which of these are odd."""
    import pandas as pd

    table = pd.DataFrame([look._asdict() for look in looks]).drop(columns="digest")
    table.insert(0, "path", text_column(_paths(X, len(looks))))
    readable = table["problem"] == ""
    area = (table["width"] * table["height"]).where(readable)
    ratio = (table[["width", "height"]].max(axis=1) / table[["width", "height"]].min(axis=1)).where(
        readable
    )
    table["odd_size"] = _odd(area, _FACTORS["area"]) | _odd(ratio, _FACTORS["ratio"])
    shares = table.loc[readable, "mode"].value_counts(normalize=True)
    odd = [mode for mode in shares.index[1:] if shares[mode] <= _RARE]
    table["odd_mode"] = table["mode"].isin(odd)
    return table


def text_column(values: Iterable[object]) -> pd.Series[Any]:
    """Return values as a column; pandas' type for text does not hold bytes that are not UTF-8."""
    import pandas as pd

    try:
        return pd.Series(values)
    except UnicodeEncodeError:
        return pd.Series(values, dtype=object)


def _paths(X: Any, n: int) -> list[str | None]:
    if hasattr(X, "to_numpy"):
        X = X.to_numpy().ravel()
    if (
        not isinstance(X, list | tuple)
        and getattr(getattr(X, "dtype", None), "kind", "") not in "OU"
    ):
        return [None] * n
    return [os.fsdecode(item) if isinstance(item, str | os.PathLike) else None for item in X]


def _odd(values: pd.Series[float], factor: float) -> pd.Series[bool]:
    """Tell values far from the median, in spreads of their logarithm and by a factor."""
    logs: pd.Series[float] = values.map(np.log2)
    distance = (logs - logs.median()).abs()
    limit = max(float(np.log2(factor)), _SPREADS * 1.4826 * float(distance.median()))
    odd: pd.Series[bool] = distance > limit
    return odd
