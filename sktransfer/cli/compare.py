"""``compare``: every strategy on the same folds, in one table, and the winner saved."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from sktransfer.cli import model_files
from sktransfer.cli.arguments import (
    CANDIDATES,
    add_manner,
    add_masks,
    add_network,
    add_search,
    add_source,
    at_least,
    split_candidates,
)
from sktransfer.cli.output import (
    as_json,
    as_table,
    check_apart,
    check_writable,
    format_params,
    print_result,
    say,
)
from sktransfer.cli.sources import load_labelled_images, load_masked_images, load_target
from sktransfer.readable import readable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import pandas as pd

    from sktransfer.cli.sources import Images, Target
    from sktransfer.comparison import StrategyComparison

__all__ = [
    "HELP",
    "add_arguments",
    "compare_images",
    "images_of",
    "run",
    "scored_on",
    "sources_of",
]

HELP = "compare strategies of transfer on the same folds, and save the winner"

_Made = TypeVar("_Made")

_FOR_MASKS = {CANDIDATES["pixels"]: "raw pixels + random forest"}
_N_SHOWN = 5
_N_BUNDLED = 300  # so that the first command ends within minutes
_MAX_EPOCHS, _MAX_EPOCHS_BUNDLED = 20, 8


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
        "--images", type=at_least(2), metavar="N",
        help=f"compare on N images, drawn at random (default: all; {_N_BUNDLED} of the bundled)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", type=Path, metavar="FOLDER",
        help="keep what has been finished in this folder; the same command, started again after an "
        "interruption, goes on where it was",
    )  # fmt: skip
    add_network(parser)
    add_search(parser, max_epochs=None)
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Compare, save the winner, load it from the file and let it predict a few images."""
    check_writable("--out", options.out)
    if options.report is not None:
        check_writable("--report", options.report)
        check_apart("--report", options.report, [options.out])
        if options.report.absolute() == options.out.absolute():
            raise ValueError("--report and --out are the same file. Give each a name of its own.")
        _check_matplotlib()
    bundled = options.source is None
    if options.max_epochs is None:
        options.max_epochs = _MAX_EPOCHS_BUNDLED if bundled else _MAX_EPOCHS
    n_images = options.images or (_N_BUNDLED if bundled else None)
    images = images_of(options).drawn(n_images, options.seed)
    target = load_target(options.target, labelled=options.score_target)
    for option, file in (("--out", options.out), ("--report", options.report)):
        if file is not None:
            check_apart(option, file, sources_of(options, images, target))
    if not options.quiet:
        say(f"sktransfer: {images.describe()}; {_budget(options)}")
    comparison = compare_images(images, target, options, options.candidates)
    predictions = _save_and_predict(comparison, images, options.out)
    if options.json:
        print_result(_as_json(comparison, predictions, options))
    else:
        print_result(_as_text(comparison, images, predictions, options))
    if options.report is not None:  # after the table, which an error of the page must not lose
        _write_report(comparison, images, target, options)
        if not options.json:
            print_result(f"The report is in {options.report}.")


def images_of(options: argparse.Namespace) -> Images:
    """List the images of a command, with their labels or their masks."""
    if options.masks is not None:
        return load_masked_images(options.source, options.masks)
    return load_labelled_images(options.source)


def sources_of(options: argparse.Namespace, images: Images, target: Target) -> list[str | Path]:
    """List the files that the command reads, which no output may replace."""
    tables = [file for file in (options.source, options.target) if file is not None]
    masks = images.y if images.is_masks else None
    named = [X for X in (images.X, masks, target.X) if X is not None and X.dtype == object]
    return [*tables, *(path for X in named for path in X)]


def _budget(options: argparse.Namespace) -> str:
    return f"{options.cv} folds, at most {options.max_epochs} epochs of fine-tuning"


def _check_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise ImportError(
            "--report needs the package matplotlib. Install it with: pip install matplotlib; or "
            "leave --report out."
        )


def _write_report(
    comparison: StrategyComparison, images: Images, target: Target, options: argparse.Namespace
) -> None:
    """Look at the images once more, for what a page needs beside the comparison, and write it."""
    from sktransfer import audit_images, recommend_strategy

    assert images.y is not None
    if images.is_masks:
        comparison.to_html(options.report)
        return
    X, y = images.X, images.y
    network = {
        "backbone": options.backbone,
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
    images: Images, target: Target, options: argparse.Namespace, candidates: list[str] | None
) -> StrategyComparison:
    """Call `compare_strategies` as the command's words say."""
    from sktransfer import compare_strategies  # torch takes seconds: not before it must

    assert images.y is not None
    if images.is_masks and candidates is not None:
        candidates = [_FOR_MASKS.get(name, name) for name in candidates]
    return compare_strategies(
        images.X,
        images.y,
        candidates=candidates,
        cv=options.cv,
        scoring=options.scoring,
        groups=images.groups,
        X_target=target.X,
        y_target=target.y,
        unlabeled=options.unlabeled if images.is_masks else None,
        backbone=options.backbone,
        weights=options.weights,
        layers=options.layers,
        poolings=options.pooling,
        max_epochs=options.max_epochs,
        image_size=options.image_size,
        device=options.device,
        batch_size=options.batch_size,
        resume=options.resume,
        n_jobs=options.n_jobs,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
    )


def scored_on(options: argparse.Namespace) -> str:
    """Say behind the folds which images were scored, if it is not those that were held out."""
    return f", on the images in {options.target}" if options.score_target else ""


def _save_and_predict(
    comparison: StrategyComparison, images: Images, out: Path
) -> list[dict[str, object]]:
    assert images.y is not None
    model_files.save(comparison.best_estimator_, out)
    rows = np.linspace(0, len(images.X) - 1, num=min(_N_SHOWN, len(images.X)), dtype=int)
    predicted = model_files.load(out).predict(images.X[rows])
    return [
        {"image": images.names[row], "label": images.y[row], "predicted": _shown_label(label)}
        for row, label in zip(rows, predicted, strict=True)
    ]


def _shown_label(label: object) -> object:
    """Show a label as it is, and of a mask the labels in it."""
    if not isinstance(label, np.ndarray) or label.ndim == 0:
        return label
    return " ".join(map(str, np.unique(label).tolist()))


_LEGEND = """\
score, spread: mean and standard deviation over the folds{where}.
p: {test}
fit, predict: seconds a fold, as if no feature had been kept; search: seconds of the whole grid."""


def _as_text(
    comparison: StrategyComparison,
    images: Images,
    predictions: list[dict[str, object]],
    options: argparse.Namespace,
) -> str:
    test = "of the difference from the best, by a t-test corrected for folds that overlap."
    if options.score_target:
        test = "not tested, for all folds were scored on the same images."
    lines = [
        readable(f"{images.describe()}; {_budget(options)}; network {options.backbone}"),
        "",
        as_table(_shown(comparison.results_), left=("candidate", "best parameters")),
        "",
        _LEGEND.format(where=scored_on(options), test=test),
        *_failures(comparison.results_),
        *([readable(comparison.scoring_reason_)] if comparison.scoring_reason_ else []),
        f"All images went through the network once, in {comparison.pass_seconds_:.1f} s.",
        "",
        f"Best: {comparison.best_candidate_} ({format_params(comparison.best_params_)})",
        f"Saved to {options.out}. Loaded from there, it predicts, of the images it was fitted on:",
    ]
    lines += [
        readable(f"  {p['image']}: {p['predicted']} (label {p['label']})") for p in predictions
    ]
    return "\n".join(lines)


def _failures(results: pd.DataFrame) -> list[str]:
    """Say why candidates have no score."""
    failed = results[results["error"] != ""].to_dict("records")
    return [readable(f"{row['candidate']} failed: {row['error']}") for row in failed]


def _shown(results: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "candidate": row.candidate,
            "score": "failed" if row.error else f"{row.score_mean:.4f}",
            "spread": "" if row.error else f"{row.score_std:.4f}",
            "p": "" if row.p_value != row.p_value else f"{row.p_value:.3f}",
            "settings": f"{row.n_settings}",
            "fit": f"{row.fit_seconds:.2f}",
            "predict": f"{row.predict_seconds:.2f}",
            "search": f"{row.search_seconds:.1f}",
            "peak MB": f"{row.peak_memory_bytes / 1e6:.0f}",
            "size MB": f"{row.size_bytes / 1e6:.2f}",
            "best parameters": format_params(row.best_params),
        }
        for row in cast("Any", results).itertuples()
    ]


def _as_json(
    comparison: StrategyComparison,
    predictions: list[dict[str, object]],
    options: argparse.Namespace,
) -> str:
    return as_json(
        {
            "results": comparison.results_.to_dict(orient="records"),
            "fold_scores": comparison.fold_scores_.to_dict(orient="list"),
            "pass_seconds": comparison.pass_seconds_,
            "scoring": comparison.scoring_,
            "scored_on_target": options.score_target,
            "best": comparison.best_candidate_,
            "model": options.out,
            "report": options.report,
            "predictions": predictions,
        }
    )
