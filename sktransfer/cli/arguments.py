"""Arguments that several commands have, and how their words are read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CANDIDATES",
    "add_columns",
    "add_manner",
    "add_masks",
    "add_network",
    "add_search",
    "add_source",
    "as_label",
    "at_least",
    "split_candidates",
    "split_layers",
    "split_words",
]

CANDIDATES = {
    "pixels": "raw pixels + logistic regression",
    "logistic": "features + logistic regression",
    "svm": "features + SVM",
    "forest": "features + random forest",
    "frozen": "frozen",
    "partial": "partial",
    "full": "full",
    "scratch": "scratch",
    "root": "square root + logistic regression",
    "neighbours": "neighbours + logistic regression",
    "selftraining": "self-training of neighbours",
    "distilled": "distilled + logistic regression",
    "beside": "features beside distilled",
    "standardized": "standardized domains + logistic regression",
    "coral": "CORAL + logistic regression",
    "subspaces": "subspaces + logistic regression",
    "transport": "transport + logistic regression",
    "dann": "DANN",
}
"""What a command calls the ready-made candidates of a comparison."""


def add_source(parser: argparse.ArgumentParser, *, optional: bool, labelled: bool = True) -> None:
    """Add where the images come from."""
    layout = (
        "a folder with one sub-folder of images per class, or a CSV file with the columns path and "
        "label"
    )
    if not labelled:
        layout = "a folder of images, or of sub-folders of images, or a CSV file with a column path"
    if optional:
        parser.add_argument(
            "source", nargs="?", type=Path, metavar="FOLDER|CSV",
            help=f"{layout} (default: bundled images)",
        )  # fmt: skip
    else:
        parser.add_argument("source", type=Path, metavar="FOLDER|CSV", help=layout)
    add_columns(parser)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add which columns of tables hold what."""
    parser.add_argument("--path-column", metavar="NAME",
        help="column of CSV files that holds the paths, if it has another name")  # fmt: skip
    parser.add_argument("--label-column", metavar="NAME",
        help="column of CSV files that holds the labels, if it has another name")  # fmt: skip


def add_network(parser: argparse.ArgumentParser, *, chosen: bool = True) -> None:
    """Add which network, if the command is about a chosen one, and how it runs."""
    add = parser.add_argument_group("network").add_argument
    if chosen:
        add("--backbone", default="auto", metavar="NAME",
            help="network (default: resnet50 with ImageNet weights, downloaded once; tiny for the bundled "
            "images)")  # fmt: skip
        add(
            "--weights", default="default", metavar="NAME",
            help='"default", a torchvision weights name, a .safetensors or .pth file, or "random" '
            "(default: %(default)s)",
        )  # fmt: skip
    add("--image-size", type=at_least(1), metavar="PIXELS",
        help="side of the network's input (default: what the weights were trained with)")  # fmt: skip
    add("--device", default="auto", help="auto, cpu, cuda or mps (default: %(default)s)")
    add("--batch-size", type=at_least(1), default=32, metavar="N",
        help="images that pass through the network at a time (default: %(default)s)")  # fmt: skip


def add_search(parser: argparse.ArgumentParser, *, max_epochs: int | None = 20) -> None:
    """Add what is searched, and over which folds; without `max_epochs` the command chooses it."""
    add = parser.add_argument_group("search").add_argument
    add(
        "--layers", type=split_layers, metavar="A,B+C",
        help="layers to search, by name or counted from the end; + joins layers "
        "(default: the last stage, the one before, and both together). "
        "Write --layers=-1 with a sign",
    )  # fmt: skip
    add(
        "--pooling", type=split_words, default=["avg", "max"], metavar="A,B",
        help="poolings to search; a name that is none gets the list of all (default: avg,max)",
    )  # fmt: skip
    add("--target", type=Path, metavar="FOLDER|CSV",
        help="unlabelled images of a target domain, for dann to adapt to")  # fmt: skip
    add("--score-target", action="store_true",
        help="score every candidate on the target, by labels that it has as sub-folders or as a "
        "column, and that nothing learns from")  # fmt: skip
    add("--teacher", metavar="NAME",
        help="with --unlabeled FOLDER, a better network, from which the network learns by all images")  # fmt: skip
    add("--teacher-weights", default="default", metavar="NAME",
        help="weights of the teacher, as --weights (default: %(default)s)")  # fmt: skip
    add("--max-epochs", type=at_least(1), default=max_epochs, metavar="N",
        help="passes over the images of what is fine-tuned "
        f"(default: {max_epochs or '20; 8 for the bundled images'})")  # fmt: skip
    add("--scoring", metavar="NAME",
        help="score to compare by, as scikit-learn names it (default: accuracy; balanced_accuracy if "
        "the largest class has more than three times the images of the smallest)")  # fmt: skip
    add("--cv", type=at_least(2), default=5, metavar="N", help="folds (default: %(default)s)")
    add("--n-jobs", type=int, metavar="N", help="processes; -1 takes every core (default: 1)")
    add("--seed", type=int, default=0, metavar="N", help="of folds and heads (default: 0)")


def add_masks(parser: argparse.ArgumentParser) -> None:
    """Add masks of the images, with which a command labels pixels instead of images."""
    add = parser.add_argument_group("masks").add_argument
    add("--masks", type=Path, metavar="FOLDER",
        help="label pixels: FOLDER holds a mask, a PNG of labels, under the name of each image of the "
        "first folder")  # fmt: skip
    add("--unlabeled", metavar="LABEL|FOLDER|CSV",
        help="with --masks, the label of pixels that count nowhere (default: -1); without, more images, "
        "whose labels nobody knows, for what learns from such")  # fmt: skip


def as_label(text: str) -> int | str:
    """Read a label or a layer: a whole number, or else a name."""
    try:
        return int(text)
    except ValueError:
        return text


def add_manner(parser: argparse.ArgumentParser, *, json: bool = True) -> None:
    """Add how the command talks."""
    add = parser.add_argument_group("manner").add_argument
    if json:
        add("--json", action="store_true", help="print the results as JSON")
    add("-q", "--quiet", action="store_true", help="no progress and no messages on stderr")
    add("--traceback", action="store_true", help="show where an error arose")


def split_words(text: str) -> list[str]:
    """Read ``a,b`` as a list."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty entry between its commas")
    return words


def split_candidates(text: str) -> list[str]:
    """Read ``logistic,svm`` as the names of candidates."""
    words = split_words(text)
    for word in words:
        if word not in CANDIDATES:
            raise argparse.ArgumentTypeError(
                f"{word!r} is none of the candidates. Choose from {', '.join(CANDIDATES)}"
            )
    return [CANDIDATES[word] for word in words]


def split_layers(text: str) -> list[object]:
    """Read ``layer3,layer3+layer4,-1`` as ``["layer3", ["layer3", "layer4"], -1]``."""
    choices = [[as_label(part) for part in word.split("+")] for word in split_words(text)]
    return [choice[0] if len(choice) == 1 else choice for choice in choices]


def at_least(lowest: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from `lowest` on."""

    def number(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is too few; give {lowest} or more")
        return value

    return number
