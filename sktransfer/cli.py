"""The command line: ``python -m sktransfer compare [FOLDER]``.

Exit codes: 0, it worked; 1, it could not be done, and one line on stderr says why; 2, the command
was not understood; 130, interrupted. Results go to stdout, progress and messages to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sktransfer.exceptions import SkTransferError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from sktransfer.selection import FeatureComparison

__all__ = ["main"]

_N_SHOWN = 5


class _Images(NamedTuple):
    X: NDArray[Any]
    y: NDArray[Any]
    names: list[str]
    source: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        The words after the program's name; None takes those of the process.

    Returns
    -------
    int
        The exit code: 0, 1 or 130. A command that cannot be understood exits with 2 by itself.
    """
    options = _build_parser().parse_args(argv)
    try:
        options.run(options)
    except KeyboardInterrupt:
        _say("sktransfer: interrupted")
        return 130
    except (SkTransferError, OSError, ValueError) as error:
        if options.traceback:
            raise
        _say(f"sktransfer: error: {' '.join(str(error).split())}")
        return 1
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sktransfer", description="Transfer learning on images for users of scikit-learn."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('sktransfer')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_compare(commands.add_parser("compare", help=_COMPARE_HELP, description=_COMPARE_HELP))
    return parser


_COMPARE_HELP = (
    "compare raw pixels with pre-trained features under logistic regression, SVM and random "
    "forest, and save the winner"
)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "folder", nargs="?", type=Path, metavar="FOLDER",
        help="holds one sub-folder of images per class (default: the bundled digit images)",
    )  # fmt: skip
    add("--backbone", default="tiny", metavar="NAME", help="network (default: %(default)s)")
    add(
        "--weights", default="default", metavar="NAME",
        help='"default", a torchvision weights name, a .safetensors or .pth file, or "random" '
        "(default: %(default)s)",
    )  # fmt: skip
    add("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    add(
        "--layers", type=_split_layers, metavar="A,B+C",
        help="layers to search, by name or counted from the end; + joins layers "
        "(default: the last stage, the one before, and both together). "
        "Write --layers=-1 with a sign",
    )  # fmt: skip
    add(
        "--pooling", type=_split_words, default=["avg", "max"], metavar="A,B",
        help="poolings to search: avg, max, avgmax, gem, flatten (default: avg,max)",
    )  # fmt: skip
    add("--cv", type=_at_least(2), default=5, metavar="N", help="folds (default: %(default)s)")
    add("--n-jobs", type=int, metavar="N", help="processes; -1 takes every core (default: 1)")
    add("--batch-size", type=_at_least(1), default=32, metavar="N",
        help="images that pass through the network at a time (default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="of folds and forest (default: 0)")
    add(
        "--out", type=Path, default=Path("sktransfer-model.joblib"), metavar="FILE",
        help="where the winner goes, replacing what is there (default: %(default)s)",
    )  # fmt: skip
    add("--json", action="store_true", help="print the results as JSON instead of a table")
    add("-q", "--quiet", action="store_true", help="no progress and no messages on stderr")
    add("--traceback", action="store_true", help="show where an error arose")
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    _check_writable(options.out)
    images = _load_images(options.folder)
    from sktransfer.selection import compare_features  # torch takes seconds: not before it must

    if not options.quiet:
        n_classes = len(set(images.y.tolist()))
        _say(f"sktransfer: {len(images.X)} images of {n_classes} classes from {images.source}")
    comparison = compare_features(
        images.X,
        images.y,
        backbone=options.backbone,
        weights=options.weights,
        layers=options.layers,
        poolings=options.pooling,
        cv=options.cv,
        device=options.device,
        batch_size=options.batch_size,
        n_jobs=options.n_jobs,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
    )
    predictions = _save_and_predict(comparison, images, options.out)
    report = _as_json if options.json else _as_text
    _print(report(comparison, predictions, options.out))


def _save_and_predict(
    comparison: FeatureComparison, images: _Images, out: Path
) -> list[dict[str, Any]]:
    """Save the winner, load it from the file and let that predict a few images of each part."""
    import joblib
    import numpy as np

    joblib.dump(comparison.best_estimator_, out)
    loaded = joblib.load(out)
    rows = np.linspace(0, len(images.X) - 1, num=min(_N_SHOWN, len(images.X)), dtype=int)
    predicted = loaded.predict(images.X[rows])
    return [
        {"image": images.names[row], "label": images.y[row].item(), "predicted": label.item()}
        for row, label in zip(rows, predicted, strict=True)
    ]


def _load_images(folder: Path | None) -> _Images:
    if folder is None:
        from sktransfer.datasets import load_digit_images

        digits = load_digit_images()
        names = [f"digit {row}" for row in range(len(digits.X))]
        return _Images(digits.X, digits.y, names, "the bundled digits")
    from sktransfer.folders import load_class_folders

    paths, labels = load_class_folders(folder)
    return _Images(paths, labels, [str(path) for path in paths], str(folder))


def _as_text(comparison: FeatureComparison, predictions: list[dict[str, Any]], out: Path) -> str:
    lines = [
        _format_table(comparison.results_),
        "",
        f"Best: {comparison.best_candidate_} ({_format_params(comparison.best_params_)})",
        f"Saved to {out}. Loaded from there, it predicts, of the images it was fitted on:",
    ]
    lines += [f"  {p['image']}: {p['predicted']} (label {p['label']})" for p in predictions]
    return "\n".join(lines)


def _format_table(results: pd.DataFrame) -> str:
    header = ("candidate", "score", "spread", "seconds", "best parameters")
    rows = [
        (
            row.candidate,
            f"{row.score_mean:.4f}",
            f"{row.score_std:.4f}",
            f"{row.search_seconds:.1f}",
            _format_params(row.best_params),
        )
        for row in cast("Any", results).itertuples()
    ]
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(4)]
    return "\n".join(
        f"{line[0]:<{widths[0]}}  {line[1]:>{widths[1]}}  {line[2]:>{widths[2]}}  "
        f"{line[3]:>{widths[3]}}  {line[4]}"
        for line in (header, *rows)
    )


def _format_params(params: dict[str, Any]) -> str:
    return ", ".join(f"{name.split('__')[-1]}={value!r}" for name, value in params.items())


def _as_json(comparison: FeatureComparison, predictions: list[dict[str, Any]], out: Path) -> str:
    return json.dumps(
        {
            "results": comparison.results_.to_dict(orient="records"),
            "best": comparison.best_candidate_,
            "model": str(out),
            "predictions": predictions,
        },
        indent=2,
    )


def _split_words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty entry between its commas")
    return words


def _split_layers(text: str) -> list[Any]:
    """Read ``layer3,layer3+layer4,-1`` as ``["layer3", ["layer3", "layer4"], -1]``."""
    choices = [[_as_layer(part) for part in word.split("+")] for word in _split_words(text)]
    return [choice[0] if len(choice) == 1 else choice for choice in choices]


def _as_layer(word: str) -> str | int:
    try:
        return int(word)
    except ValueError:
        return word


def _at_least(lowest: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is too few; give {lowest} or more")
        return value

    return number


def _check_writable(out: Path) -> None:
    """Find out before the work, not after it, that the result has nowhere to go."""
    if out.is_dir():
        raise IsADirectoryError(f"--out {str(out)!r} is a folder. Give the name of a file.")
    if not out.parent.is_dir():
        raise FileNotFoundError(
            f"--out {str(out)!r}: the folder {str(out.parent)!r} does not exist. Make it first."
        )


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
