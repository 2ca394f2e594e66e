"""`batch_inference`: a fitted model on all images of a source, in parts that survive an interruption."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import joblib
import torch
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import BACKENDS, get_active_backend
from tqdm.auto import tqdm

from sktransfer.features.device import n_usable_cores
from sktransfer.inference.devices import device_of_worker, n_local_workers
from sktransfer.inference.methods import METHODS
from sktransfer.inference.model import AT_ONCE, check_method, digest_of_file, load_served
from sktransfer.inference.parts import name_of_part, write_part
from sktransfer.inference.run import InferenceRun
from sktransfer.inference.sources import open_source
from sktransfer.inference.sources.parquet import needs_pyarrow
from sktransfer.parameters import check_choice, check_integer
from sktransfer.writing import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sktransfer.inference.sources import Shard

__all__ = ["batch_inference"]

# Tools that read a folder as one table pass over names that begin so.
_MANIFEST: Final = "_run.json"
_MODEL: Final = "_model.joblib"


def batch_inference(
    model: object,
    source: str | os.PathLike[str] | Iterable[object],
    out: str | os.PathLike[str],
    *,
    method: str = "predict",
    n_jobs: int | None = None,
    shard_rows: int = 10_000,
    on_error: Literal["nan", "raise"] = "nan",
    verbose: int = 0,
) -> InferenceRun:
    """Run a fitted model on all images of a source, and write the results to a folder.

    The source is cut into shards, and each shard becomes one Parquet file, written under a temporary
    name and renamed, so that it is there as a whole or not at all. The same call, made again after
    an interruption, computes what is missing. The engine is joblib's: processes of this machine, or,
    inside ``with joblib.parallel_config("ray")`` (or "dask", "spark"), the workers of a cluster.

    Parameters
    ----------
    model : estimator, str or path
        Fitted, and one that takes paths and encoded bytes as images; or a file that joblib or
        :func:`~sktransfer.save_model` wrote. Loading a file that is not of skops runs whatever its
        writer put there. An estimator is saved to ``out/_model.joblib`` first. On a cluster all
        workers must see the file and `out` under the same path.
    source : str, path or sequence of paths
        A folder of images, or of tar or Parquet files; a CSV or Parquet file with a column ``path``; a
        Parquet file with a column of encoded images; a tar file with images as WebDataset writes
        them; a pattern such as ``photos/*.jpg``; URLs of all these that fsspec can open; or a list of
        paths or URLs.
    out : str or path
        Folder of the results. It must be new, or hold a run of the same model, source and method. Local
        files that were changed since are another source; of remote ones only the names are compared.
    method : {"predict", "transform", "predict_proba", "decision_function"}, default="predict"
        Method of the model.
    n_jobs : int or None, default=None
        Number of workers, as everywhere in joblib: None is 1, or what ``parallel_config`` says; -1 is one
        for each core, or for each GPU of a machine that has some. Each has its share of the cores, and
        of the GPUs if the model was fitted with ``device="auto"`` or "cuda".
    shard_rows : int, default=10_000
        Largest number of images in a part. A worker holds 512 of them in memory.
    on_error : {"nan", "raise"}, default="nan"
        Treatment of images that cannot be read: a row without a result and with the reason in ``error``,
        or an error that ends the run; what is done stays.
    verbose : int, default=0
        1 shows a progress bar of parts, where the engine tells of each.

    Returns
    -------
    InferenceRun
        Its ``table()`` has a row for each image in the order of the source.

    Raises
    ------
    ValueError
        If `out` holds anything but a run of this model, source and method, or the model lacks the method.
    ImageDecodeError
        If an image cannot be read and `on_error` is "raise".
    FileNotFoundError, ImageError
        If there is no such source, or it holds no image.

    See Also
    --------
    InferenceRun : What it returns.
    BatchPredictor : For data sets that an engine already holds.

    Examples
    --------
    >>> from sktransfer import DeepFeatureTransformer  # doctest: +SKIP
    >>> model = make_pipeline(DeepFeatureTransformer(), LogisticRegression()).fit(X, y)  # doctest: +SKIP
    >>> batch_inference(model, "photos", "results", n_jobs=4).table()  # doctest: +SKIP
    """
    began = time.perf_counter()
    check_choice("method", method, METHODS)
    check_choice("on_error", on_error, ("nan", "raise"))
    check_integer("shard_rows", shard_rows, 1, "images in a part")
    needs_pyarrow("batch_inference")
    found = open_source(source, shard_rows)
    folder = Path(out).absolute()
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(
            f"out={str(out)!r} is a file. Pass a folder, which is made if need be."
        )
    folder.mkdir(parents=True, exist_ok=True)
    run = {"source": found.digest, "method": method, "shard_rows": shard_rows}
    _check_folder(folder, run)
    file = _model_file(model, folder, method)
    digest = digest_of_file(file)
    _claim(folder, {"model": digest, **run})
    parts = [folder / name_of_part(shard, digest, found.digest) for shard in found.shards]
    missing = [
        (shard, part) for shard, part in zip(found.shards, parts, strict=True) if not part.exists()
    ]
    n_workers = max(1, min(_n_workers(n_jobs), len(missing) or 1))
    threads = max(1, n_usable_cores() // n_workers) if _is_local() else None
    manner = _Manner(str(file), digest, method, on_error, threads, n_workers, os.getpid())
    work = [delayed(_compute)(manner, shard, str(part)) for shard, part in missing]
    _run_all(work, n_workers, verbose)
    return InferenceRun(folder, parts, len(missing), time.perf_counter() - began)


@dataclass(frozen=True)
class _Manner:
    """What is the same for all parts of a run."""

    model: str
    digest: str
    method: str
    on_error: str
    threads: int | None
    """For a worker on this machine; engines that run elsewhere give theirs what they have."""
    workers: int
    driver: int


def _compute(manner: _Manner, shard: Shard, part: str) -> None:
    """Compute one part, in whichever process this is."""
    device = "auto"
    if os.getpid() != manner.driver:
        if manner.threads is not None:
            torch.set_num_threads(manner.threads)
        device = device_of_worker()
    served = load_served(manner.model, manner.digest, manner.method, device)
    write_part(
        Path(part),
        shard,
        served,
        at_once=AT_ONCE,
        on_error=manner.on_error,
        threads=torch.get_num_threads(),
        workers=manner.workers,
    )


def _is_local() -> bool:
    """Tell whether joblib's own backends do the work; those of engines derive from them."""
    backend, _ = get_active_backend()
    return type(backend) in [BACKENDS[name] for name in ("loky", "multiprocessing", "threading")]


def _n_workers(n_jobs: int | None) -> int:
    """Count the workers that the engine gives; "all" of this machine is one for each of its GPUs."""
    _, configured = get_active_backend()
    n_workers = int(effective_n_jobs(n_jobs))
    asked = configured if n_jobs is None else n_jobs
    return n_local_workers(asked, n_workers) if _is_local() else n_workers


def _run_all(work: list[Any], n_workers: int, verbose: int) -> None:
    """Do all work, with a progress bar where the engine hands on results one by one."""
    if not work:
        return
    backend, _ = get_active_backend()
    tells = getattr(backend, "supports_return_generator", False)
    parallel = Parallel(
        n_jobs=n_workers, batch_size=1, return_as="generator_unordered" if tells else "list"
    )
    for _ in tqdm(parallel(work), total=len(work), unit="part", disable=not verbose):
        pass


def _model_file(model: object, folder: Path, method: str) -> Path:
    """Return the file of a model; an estimator is saved to the folder, unless it is there."""
    if isinstance(model, str | os.PathLike):
        file = Path(model).absolute()
        if not file.is_file():
            raise FileNotFoundError(f"the model {str(file)!r} does not exist. Check the path.")
        return file
    check_method(model, method)
    dumped = io.BytesIO()
    joblib.dump(model, dumped)
    file = folder / _MODEL
    if not file.exists():
        with whole_file(file) as unfinished:
            unfinished.write_bytes(dumped.getbuffer())
    elif file.read_bytes() != dumped.getbuffer():
        raise ValueError(
            f"the folder {str(folder)!r} holds a run of another model. Write to another folder; or, to go "
            f"on with that run, pass its model: {str(file)!r}."
        )
    return file


def _check_folder(folder: Path, run: dict[str, object]) -> None:
    """Refuse a folder that holds anything but the same run, before a file is written there.

    Raises
    ------
    ValueError
        If it does.
    """
    file = folder / _MANIFEST
    if not file.exists():
        others = [found.name for found in folder.iterdir() if found.name != _MODEL]
        if others:
            raise ValueError(
                f"the folder {str(folder)!r} holds {min(others)!r}, and no run of batch_inference. Give a "
                "new folder."
            )
        return
    before = json.loads(file.read_text())
    for name, value in run.items():
        if before.get(name) != value:
            raise ValueError(
                f"the folder {str(folder)!r} holds a run of another {name}: {before.get(name)!r}, and this one "
                f"is {value!r}. Write to another folder, or remove this one."
            )


def _claim(folder: Path, run: dict[str, object]) -> None:
    """Write down what the folder holds, or check that it is the same."""
    _check_folder(folder, run)
    if not (folder / _MANIFEST).exists():
        with whole_file(folder / _MANIFEST) as unfinished:
            unfinished.write_text(json.dumps(run, indent=1))
