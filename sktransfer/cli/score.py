"""``score``: how good a saved model is on images that took no part in making it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sktransfer.cli import model_files
from sktransfer.cli.arguments import add_manner, add_source
from sktransfer.cli.output import (
    as_json,
    as_table,
    check_apart,
    check_writable,
    print_result,
    say,
    whole_file,
)
from sktransfer.cli.sources import columns_of, load_labelled_images, naming_all_broken
from sktransfer.proportions import mean_share_interval, wilson_interval
from sktransfer.readable import as_cell, readable

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from sktransfer.cli.sources import Images

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run", "score_images", "text_of_score"]

HELP = "score a saved model on labelled images that took no part"
EXAMPLES = ("score model.joblib others --mistakes mistakes.csv",)

_N_SHOWN = 5
_FEW = 10  # images of a class, below which its share says little


class Scored(NamedTuple):
    """What a model gets right and wrong."""

    n_images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    balanced_accuracy_interval: tuple[float, float]
    classes: list[dict[str, Any]]
    matrix: list[list[int]]
    labels: list[str]
    mistakes: pd.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {**self._asdict(), "mistakes": self.mistakes.to_dict("records")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    model_files.add_arguments(parser)
    add_source(parser, optional=False)
    parser.add_argument(
        "--mistakes", type=Path, metavar="FILE.csv",
        help="write the images that it gets wrong, surest first",
    )  # fmt: skip
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Load the model, let it label the images, and compare with their labels."""
    if options.mistakes is not None:
        check_writable("--mistakes", options.mistakes)
    images = load_labelled_images(options.source, columns_of(options))
    if options.mistakes is not None:
        check_apart("--mistakes", options.mistakes, [options.source, options.model, *images.X])
    if not options.quiet:
        say(f"sktransfer: {images.describe()}; {model_files.describe(options.model)}")
    model = model_files.load(options.model, weights=options.weights)
    with naming_all_broken(images.X):
        scored = score_images(model, images)
    if options.mistakes is not None:
        with whole_file(options.mistakes) as unfinished:
            scored.mistakes.map(as_cell).to_csv(unfinished, index=False)
    if options.json:
        print_result(as_json(scored.as_dict()))
    else:
        print_result(text_of_score(scored, images))


def score_images(model: Any, images: Images) -> Scored:
    """Let a fitted classifier label images whose labels are known.

    Raises
    ------
    ValueError
        If the model is no classifier of images, or the images have classes that it does not know.
    """
    import pandas as pd
    from sklearn.metrics import confusion_matrix

    from sktransfer.comparison.predicting import predict_with_confidence
    from sktransfer.segmentation.estimator import MaskEstimator

    assert images.y is not None
    if isinstance(model, MaskEstimator):
        raise ValueError("the model labels pixels, and score is for labels of whole images.")
    known = getattr(model, "classes_", None)
    if known is None:
        raise ValueError("the model has no classes. Score one that train or compare has saved.")
    y, names = images.y, [str(label) for label in np.asarray(known).tolist()]
    given = np.array([str(label) for label in y.tolist()])
    unknown = sorted(set(given.tolist()) - set(names))
    if unknown:
        raise ValueError(
            f"the images have the classes {', '.join(map(repr, unknown))}, which the model does not know; "
            f"it knows {', '.join(map(repr, names))}. Name the folders, or the labels of the table, alike."
        )
    labels, confidence = predict_with_confidence(model, images.X)
    predicted = np.array([str(label) for label in labels.tolist()])
    sure = np.full(len(given), np.nan) if confidence is None else confidence
    right = given == predicted
    present = [name for name in names if (given == name).any()]
    counts = np.array([(given == name).sum() for name in present])
    hits = np.array([(right & (given == name)).sum() for name in present])
    wrong = pd.DataFrame(
        {"path": images.names, "label": given, "predicted": predicted, "confidence": sure}
    )[~right]
    return Scored(
        n_images=len(given),
        accuracy=float(right.mean()),
        accuracy_interval=wilson_interval(int(right.sum()), len(given)),
        balanced_accuracy=float((hits / counts).mean()),
        balanced_accuracy_interval=mean_share_interval(hits, counts),
        classes=[
            {
                "class": name,
                "images": int(n),
                "right": int(hit),
                "interval": wilson_interval(hit, n),
            }
            for name, n, hit in zip(present, counts, hits, strict=True)
        ],
        matrix=confusion_matrix(given, predicted, labels=names).tolist(),
        labels=names,
        mistakes=wrong.sort_values("confidence", ascending=False, kind="stable", ignore_index=True),
    )


def text_of_score(scored: Scored, images: Images) -> str:
    """Write a score with its interval, each class, the matrix of confusions and the surest mistakes."""
    mean = _share(scored.balanced_accuracy, scored.balanced_accuracy_interval)
    lines = [
        f"Accuracy {_share(scored.accuracy, scored.accuracy_interval)} on {readable(images.describe())}.",
        f"Mean over the classes: {mean}.",
        "",
        as_table(
            [
                {
                    "class": row["class"],
                    "images": str(row["images"]),
                    "right": str(row["right"]),
                    "share": f"{row['right'] / row['images']:.3f}",
                    "95 % interval": f"{row['interval'][0]:.3f}-{row['interval'][1]:.3f}",
                    "": "too few for a verdict" if row["images"] < _FEW else "",
                }
                for row in scored.classes
            ],
            left=("class", ""),
        ),
        "",
        "True classes in rows, predicted ones in columns:",
        as_table(
            [
                {"": name, **{other: str(n) for other, n in zip(scored.labels, row, strict=True)}}
                for name, row in zip(scored.labels, scored.matrix, strict=True)
            ],
            left=("",),
        ),
    ]
    if len(scored.mistakes):
        lines += ["", "The surest mistakes:"]
    for row in scored.mistakes.head(_N_SHOWN).to_dict("records"):
        sure = "" if np.isnan(row["confidence"]) else f", {row['confidence']:.2f}"
        lines.append(readable(f"  {row['path']}: {row['predicted']}{sure} (label {row['label']})"))
    return "\n".join(lines)


def _share(share: float, interval: tuple[float, float]) -> str:
    return f"{share:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
