"""Results of a saved model on many images, written part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sktransfer.cli.output import as_json, print_result, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["add_jobs", "write_parts"]


def add_jobs(parser: argparse.ArgumentParser, what: str) -> None:
    """Add how many processes share the work."""
    parser.add_argument(
        "--jobs", type=int, metavar="N",
        help=f"processes for {what}; -1 is one for each core, or for each GPU (default: 1)",
    )  # fmt: skip


def write_parts(
    model: object,
    sources: Sequence[str],
    method: str,
    options: argparse.Namespace,
    *,
    as_object: bool,
) -> None:
    """Run a model on all images, and tell where the results are and how long a million would take."""
    from sktransfer import batch_inference

    run = batch_inference(
        model,
        sources[0] if len(sources) == 1 else sources,
        options.out,
        method=method,
        n_jobs=options.jobs,
        on_error=options.on_error,
        verbose=0 if options.quiet else 1,
    )
    if as_object:
        result = {"folder": options.out, "images": run.n_rows_, "failed": len(run.failed_)}
        print_result(as_json(result))
        return
    print_result(f"Results of {run.n_rows_} images are in {len(run.parts)} parts in {options.out}.")
    if run.failed_:
        print_result(f"{len(run.failed_)} cannot be read; their column 'error' says why.")
    if not options.quiet:
        say(f"sktransfer: {run.estimate(1_000_000)}, at this pace")
