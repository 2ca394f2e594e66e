"""``predict``: the labels of images, by a model that was saved."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktransfer.cli import model_files
from sktransfer.cli.arguments import add_manner
from sktransfer.cli.output import as_json, print_result, say, say_error
from sktransfer.cli.parts import add_jobs, write_parts
from sktransfer.exceptions import ImageDecodeError, ImageError
from sktransfer.folders import list_images
from sktransfer.inference.methods import METHODS
from sktransfer.readable import as_cell

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "predict the labels of images with a saved model"
EXAMPLES = (
    "predict model.joblib new/*.jpg",
    "predict model.joblib s3://bucket/*.tar --out results --jobs 8",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    model_files.add_arguments(parser)
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="images, or folders of images; with --out also a table with the column path, tar or "
        "Parquet files of images, or URLs",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("csv", "json"), default="csv",
        help="of what is printed: one line or object per image, with the label and, if the model "
        "gives it, its probability (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--on-error", choices=("raise", "nan"), default="nan",
        help="what an unreadable image does: end the command, or give a row without a label and with "
        "the reason in a column error (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="where results go: the masks of a model that labels pixels, as PNGs of labels with a "
        "palette; of any other model Parquet files, part by part, so that the same command goes on "
        "after an interruption",
    )  # fmt: skip
    add_jobs(parser, "--out")
    parser.add_argument(
        "--method", choices=METHODS, default="predict", metavar="NAME",
        help=f"of the model, for --out: {', '.join(METHODS)} (default: %(default)s)",
    )  # fmt: skip
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Load the model and print what it predicts."""
    if not options.quiet:
        say(f"sktransfer: loading {options.model}; {model_files.describe(options.model)}")
    if options.out is None and (options.jobs is not None or options.method != "predict"):
        raise ValueError(
            "--jobs and --method are for results in files. Give a folder by --out FOLDER."
        )
    model = model_files.load(options.model, options.method, options.weights)
    if options.out is not None and not _labels_pixels(model):
        served = options.model if options.weights is None else model
        if served is not model:
            from sktransfer.inference.model import keep_served

            keep_served(options.model, options.method, model)
        as_object = options.json or options.format == "json"
        write_parts(served, options.files, options.method, options, as_object=as_object)
        return
    files = [file for given in options.files for file in _listed(Path(given))]
    rows = _masks(model, files, options.out) or _predict(
        model, [path for path, _ in files], options.on_error
    )
    if options.json or options.format == "json":
        print_result(as_json(rows))
    else:
        print_result(_as_csv(rows))


def _masks(model: object, files: list[tuple[str, Path]], out: Path | None) -> list[dict[str, Any]]:
    """Write the masks of a model that labels pixels; of another, there are none."""
    if _labels_pixels(model) and out is None:
        raise ValueError("the model labels pixels. Give a folder for its masks by --out FOLDER.")
    if out is None:
        return []
    from sktransfer.cli.label_images import write_masks

    return write_masks(model, files, out)


def _labels_pixels(model: object) -> bool:
    from sktransfer.segmentation.estimator import MaskEstimator

    return isinstance(model, MaskEstimator)


def _listed(given: Path) -> list[tuple[str, Path]]:
    """List images with the places of their masks below a folder."""
    if given.is_dir():
        return [(str(path), Path(path).relative_to(given)) for path in list_images(given)]
    if not given.exists():
        raise FileNotFoundError(f"the image {str(given)!r} does not exist.")
    return [(str(given), Path(given.name))]


def _predict(model: Any, paths: list[str], on_error: str) -> list[dict[str, Any]]:
    """Predict the label of each image, or say why it has none.

    Raises
    ------
    ImageDecodeError
        If no image can be read, or one cannot and `on_error` is "raise".
    """
    try:
        return _labelled(model, paths)
    except ImageDecodeError:
        if on_error == "raise":
            raise
        from sktransfer.images.problems import problems_of

        problems = problems_of(paths)
        if len(problems) in (0, len(paths)):
            raise
    found = {row["path"]: row for row in _labelled(model, [p for p in paths if p not in problems])}
    say_error(
        f"warning: {len(problems)} of {len(paths)} images cannot be read; see the column 'error'"
    )
    names = [*next(iter(found.values())), "error"]
    rows = [found.get(path, {"path": path, "error": problems.get(path)}) for path in paths]
    return [{name: row.get(name) for name in names} for row in rows]


def _labelled(model: Any, paths: list[str]) -> list[dict[str, Any]]:
    import numpy as np

    X = np.array(paths, dtype=object)
    try:
        labels = model.predict(X)
        probabilities = model.predict_proba(X) if hasattr(model, "predict_proba") else None
    except ImageError:
        raise
    except ValueError as exc:
        raise ValueError(f"the model does not predict image files: {exc}") from exc
    rows = [{"path": path, "label": label} for path, label in zip(paths, labels, strict=True)]
    if probabilities is not None:
        for row, probability in zip(rows, probabilities.max(axis=1), strict=True):
            row["probability"] = float(probability)
    return rows


def _as_csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if value is None else as_cell(value) for name, value in row.items()}
        for row in rows
    )
    return text.getvalue().rstrip("\n")
