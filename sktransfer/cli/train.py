"""``train``: one candidate, its grid searched, fitted on all images and saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sktransfer.cli import model_files
from sktransfer.cli.arguments import (
    CANDIDATES,
    add_manner,
    add_masks,
    add_network,
    add_search,
    add_source,
)
from sktransfer.cli.compare import compare_images, images_of, scored_on, sources_of, target_of
from sktransfer.cli.output import (
    as_json,
    check_apart,
    check_writable,
    format_params,
    print_result,
    say,
)

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "search the parameters of one candidate, fit it on all images, and save it"
EXAMPLES = ("train photos --candidate frozen --out model.joblib",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_source(parser, optional=False)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE",
        help=f"where the model goes, replacing what is there; {model_files.KINDS}",
    )  # fmt: skip
    parser.add_argument(
        "--candidate", choices=CANDIDATES, default="logistic", metavar="NAME",
        help=f"what to train: {', '.join(CANDIDATES)} (default: %(default)s)",
    )  # fmt: skip
    add_masks(parser)
    parser.set_defaults(resume=None)
    add_network(parser)
    add_search(parser)
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Train and save, and print the score of the cross-validation."""
    check_writable("--out", options.out)
    images = images_of(options)
    if not options.quiet:
        say(f"sktransfer: {images.describe()}")
    target = target_of(options)
    check_apart("--out", options.out, sources_of(options, images, target))
    found = compare_images(images, target, options, [CANDIDATES[options.candidate]])
    size = model_files.save(found.best_estimator_, options.out)
    row = found.results_.iloc[0]
    if options.json:
        result = {
            "model": options.out,
            "images": len(images.X),
            "classes": found.best_estimator_.classes_.tolist(),
            **row.to_dict(),
        }
        print_result(as_json(result))
        return
    print_result(
        f"{found.best_candidate_} ({format_params(found.best_params_)}), fitted on "
        f"{images.describe()}, is saved to {options.out} ({size}). Score over {options.cv} "
        f"folds{scored_on(options)}: "
        f"{row.score_mean:.4f}, spread {row.score_std:.4f}."
    )
