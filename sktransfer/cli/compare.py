"""``compare``: every strategy on the same folds, in one table, and the winner saved."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sktransfer.cli import model_files
from sktransfer.cli.arguments import (
    CANDIDATES,
    add_manner,
    add_masks,
    add_network,
    add_search,
    add_source,
    as_label,
    at_least,
    split_candidates,
)
from sktransfer.cli.comparison_text import json_of_comparison, table_of, text_of_comparison
from sktransfer.cli.kept_features import kept_beside
from sktransfer.cli.output import (
    check_apart,
    check_writable,
    print_result,
    say,
    whole_file,
)
from sktransfer.cli.score import score_images, text_of_score
from sktransfer.cli.sources import (
    columns_of,
    load_labelled_images,
    load_masked_images,
    load_target,
    naming_all_broken,
)
from sktransfer.exceptions import ComparisonInterrupted
from sktransfer.readable import as_cell, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sktransfer.cli.sources import Images, Target
    from sktransfer.comparison import StrategyComparison

__all__ = [
    "EXAMPLES",
    "HELP",
    "add_arguments",
    "compare_images",
    "images_of",
    "run",
    "scored_on",
    "sources_of",
    "target_of",
]

HELP = "compare strategies of transfer on the same folds, and save the winner"
EXAMPLES = (
    "compare",
    "compare photos --minutes 5 --report report.html --out model.joblib",
    "compare photos --target others --backbone mobilenet_v2",
)

_Made = TypeVar("_Made")

_FOR_MASKS = {CANDIDATES["pixels"]: "raw pixels + random forest"}
_N_SHOWN = 5
_N_BUNDLED = 300  # so that the first command ends within minutes
_MAX_EPOCHS, _MAX_EPOCHS_BUNDLED = 20, 7
_MINUTES = 15.0  # a coffee


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_source(parser, optional=True)
    add_masks(parser)
    parser.add_argument(
        "--candidates", type=split_candidates, metavar="A,B",
        help=f"which to compare: {', '.join(CANDIDATES)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("sktransfer-model.joblib"), metavar="FILE",
        help="where the winner goes, replacing what is there (default: %(default)s); "
        + model_files.KINDS,
    )  # fmt: skip
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html",
        help="write a page with the table, plots, advice, examples and an audit of the images",
    )  # fmt: skip
    parser.add_argument(
        "--test", type=Path, metavar="FOLDER|CSV",
        help="labelled images that take no part, on which the winner is scored in the end",
    )  # fmt: skip
    parser.add_argument(
        "--mistakes", type=Path, metavar="FILE.csv",
        help="write the images that the winner got wrong while they were held out, surest first",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=at_least(2), metavar="N",
        help=f"compare on N images, drawn at random (default: all; {_N_BUNDLED} of the bundled)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", type=Path, metavar="FOLDER",
        help="keep what has been finished in this folder, and leave it there; the same command, started "
        "again, goes on where it was (default: a folder beside --out, removed when all is done)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=_minutes, default=_MINUTES, metavar="N",
        help="begin no fit after N minutes; cheap candidates come first, and what is left out is a row "
        "that says so; 0 sets no limit (default: %(default)g)",
    )  # fmt: skip
    add_network(parser)
    add_search(parser, max_epochs=None)
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Compare, save the winner, load it from the file and let it predict a few images."""
    outputs = {
        f"--{name}": file
        for name in ("out", "report", "mistakes")
        if (file := getattr(options, name)) is not None
    }
    _check_outputs(outputs)
    bundled = options.source is None
    if bundled and options.backbone == "auto":
        options.backbone = "tiny"  # which was trained for such images
    if options.max_epochs is None:
        options.max_epochs = _MAX_EPOCHS_BUNDLED if bundled else _MAX_EPOCHS
    n_images = options.images or (_N_BUNDLED if bundled else None)
    images = images_of(options).drawn(n_images, options.seed)
    target = target_of(options)
    test = None if options.test is None else load_labelled_images(options.test, columns_of(options))
    tested = [] if test is None else [options.test, *test.X]
    for option, file in outputs.items():
        check_apart(option, file, [*sources_of(options, images, target), *tested])
    with (
        kept_beside(options.out, "compare")
        if options.resume is None
        else nullcontext((options.resume, options.resume.exists())) as (resume, was_there)
    ):
        if not options.quiet:
            going_on = ", going on where it was" if was_there else ""
            say(f"sktransfer: {images.describe()}; {_budget(options)}{going_on}")
        try:
            comparison = compare_images(images, target, options, options.candidates, resume)
        except ComparisonInterrupted as interrupted:
            _show_interrupted(interrupted, options)
            raise
        _tell(comparison, images, target, test, options)


def _check_outputs(outputs: Mapping[str, Path]) -> None:
    """Refuse files that cannot be written, or that two options name."""
    for option, file in outputs.items():
        check_writable(option, file)
    for (one, file), (other, same) in combinations(outputs.items(), 2):
        check_apart(other, same, [file])
        if file.absolute() == same.absolute():
            raise ValueError(f"{other} and {one} are the same file. Give each a name of its own.")


def _tell(
    comparison: StrategyComparison,
    images: Images,
    target: Target,
    test: Images | None,
    options: argparse.Namespace,
) -> None:
    """Save the winner, and print and write what was found."""
    size = model_files.save(comparison.best_estimator_, options.out)
    predictions = _predict_some(images, options.out)
    if options.mistakes is not None:
        _write_mistakes(comparison, images if target.y is None else None, options.mistakes)
    scored = None if test is None else score_images(comparison.best_estimator_, test)
    if options.json:
        print_result(json_of_comparison(comparison, predictions, scored, options))
    else:
        print_result(_as_text(comparison, images, size, options))
        if scored is not None and test is not None:
            print_result(f"\n{text_of_score(scored, test)}")
    if options.report is not None:  # after the table, which an error of the page must not lose
        _write_report(comparison, images, target, options)
        if not options.json:
            print_result(f"The report is in {options.report}.")


def _show_interrupted(interrupted: ComparisonInterrupted, options: argparse.Namespace) -> None:
    """Print what had been finished, and say that nothing of it is lost."""
    if not options.json and len(interrupted.results):
        print_result(table_of(interrupted.results))
    say(
        "sktransfer: what has been finished is kept; the same command, started again, goes on from there."
    )


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 <= minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of minutes; give 0 or more")
    return minutes


def images_of(options: argparse.Namespace) -> Images:
    """List the images of a command, with their labels or their masks."""
    if options.masks is not None:
        return load_masked_images(options.source, options.masks)
    return load_labelled_images(options.source, columns_of(options))


def target_of(options: argparse.Namespace) -> Target:
    """List the images of a command beside the labelled ones."""
    more = None if options.masks is not None or not options.unlabeled else Path(options.unlabeled)
    return load_target(
        options.target, columns_of(options), labelled=options.score_target, unlabeled=more
    )


def sources_of(options: argparse.Namespace, images: Images, target: Target) -> list[str | Path]:
    """List the files that the command reads, which no output may replace."""
    more = options.unlabeled if target.X_unlabeled is not None else None
    tables = [file for file in (options.source, options.target, more) if file is not None]
    masks = images.y if images.is_masks else None
    listed = (images.X, masks, target.X, target.X_unlabeled)
    named = [X for X in listed if X is not None and X.dtype == object]
    return [*tables, *(path for X in named for path in X)]


def _budget(options: argparse.Namespace) -> str:
    limit = f", at most {options.minutes:g} minutes (--minutes)" if options.minutes else ""
    return f"{options.cv} folds, at most {options.max_epochs} epochs of fine-tuning{limit}"


def _write_report(
    comparison: StrategyComparison, images: Images, target: Target, options: argparse.Namespace
) -> None:
    """Look at the images once more, for what a page needs beside the comparison, and write it."""
    from sktransfer import audit_images, recommend_strategy

    assert images.y is not None
    if images.is_masks:
        comparison.to_html(options.report, images.X, images.y)
        return
    X, y = images.X, images.y
    network = {
        "backbone": comparison.backbone_,
        "weights": options.weights,
        "image_size": options.image_size,
        "device": options.device,
        "batch_size": options.batch_size,
        "random_state": options.seed,
    }
    if not options.quiet:
        say("sktransfer: writing the report")
    comparison.to_html(
        options.report,
        images.X,
        images.y,
        X_target=target.X,
        y_target=target.y,
        X_unlabeled=target.X_unlabeled,
        audit=_or_none("audit", lambda: audit_images(X, y, **network)),
        recommendation=_or_none("rule of thumb", lambda: recommend_strategy(X, y, **network)),
    )


def _or_none(what: str, make: Callable[[], _Made]) -> _Made | None:
    """Make a part of the report; without one that fails, the others are of use."""
    try:
        return make()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is said
        say(readable(f"sktransfer: the report has no {what} ({type(exc).__name__}: {exc})"))
        return None


def compare_images(
    images: Images,
    target: Target,
    options: argparse.Namespace,
    candidates: list[str] | None,
    resume: Path | None = None,
) -> StrategyComparison:
    """Call `compare_strategies` as the command's words say."""
    from sktransfer import compare_strategies  # torch takes seconds: not before it must

    assert images.y is not None
    if images.is_masks and candidates is not None:
        candidates = [_FOR_MASKS.get(name, name) for name in candidates]
    with naming_all_broken(images.X, target.X, target.X_unlabeled):
        return compare_strategies(
            images.X,
            images.y,
            candidates=candidates,
            cv=options.cv,
            scoring=options.scoring,
            groups=images.groups,
            X_target=target.X,
            y_target=target.y,
            unlabeled=as_label(options.unlabeled or "-1") if images.is_masks else None,
            X_unlabeled=target.X_unlabeled,
            teacher=options.teacher,
            teacher_weights=options.teacher_weights,
            backbone=options.backbone,
            weights=options.weights,
            layers=options.layers,
            poolings=options.pooling,
            max_epochs=options.max_epochs,
            image_size=options.image_size,
            device=options.device,
            batch_size=options.batch_size,
            resume=resume,
            time_limit=60 * minutes if (minutes := getattr(options, "minutes", 0)) else None,
            n_jobs=options.n_jobs,
            random_state=options.seed,
            verbose=0 if options.quiet else 1,
        )


def scored_on(options: argparse.Namespace) -> str:
    """Say behind the folds which images were scored, if it is not those that were held out."""
    return f", on the images in {options.target}" if options.score_target else ""


def _predict_some(images: Images, out: Path) -> list[dict[str, object]]:
    """Let what is loaded from the file of the winner predict a few images."""
    from sktransfer.comparison.workers import limited_threads

    assert images.y is not None
    rows = np.linspace(0, len(images.X) - 1, num=min(_N_SHOWN, len(images.X)), dtype=int)
    model = model_files.load(out)
    with limited_threads(1):  # threads that wait for each other cost more than they save
        predicted = model.predict(images.X[rows])
    return [
        {"image": images.names[row], "label": images.y[row], "predicted": _shown_label(label)}
        for row, label in zip(rows, predicted, strict=True)
    ]


def _shown_label(label: object) -> object:
    """Show a label as it is, and of a mask the labels in it."""
    if not isinstance(label, np.ndarray) or label.ndim == 0:
        return label
    return " ".join(map(str, np.unique(label).tolist()))


def _as_text(
    comparison: StrategyComparison, images: Images, size: str, options: argparse.Namespace
) -> str:
    network = "no network" if comparison.backbone_ == "auto" else f"network {comparison.backbone_}"
    head = f"{images.describe()}; {_budget(options)}; {network}"
    target = str(options.target) if options.score_target else ""
    names = images.names if options.target is None or not options.score_target else None
    return "\n".join(
        [
            readable(head),
            "",
            *text_of_comparison(comparison, target=target, names=names),
            f"Saved to {options.out} ({size}). Label other images with it:",
            f"  sktransfer predict {options.out} IMAGES",
        ]
    )


def _write_mistakes(comparison: StrategyComparison, images: Images | None, out: Path) -> None:
    """Write the mistakes on held-out images, with their names where these are of the first folder."""
    mistakes = comparison.mistakes_
    if images is not None:
        rows = mistakes["image"].astype(int)
        mistakes = mistakes.assign(image=[images.names[row] for row in rows])
    with whole_file(out) as unfinished:
        mistakes.map(as_cell).to_csv(unfinished, index=False)
