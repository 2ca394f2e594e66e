"""``audit``: what is wrong with a set of images: duplicates, labels, unreadable files, odd sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sktransfer.cli.arguments import add_manner, add_network, add_source
from sktransfer.cli.output import (
    as_json,
    check_apart,
    check_writable,
    escaped_names,
    print_result,
    say,
    whole_file,
)
from sktransfer.cli.sources import columns_of, load_images, load_labelled_images
from sktransfer.readable import as_cell, readable

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from sktransfer.cli.sources import Images

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "look for duplicates, labels that seem wrong, unreadable files, and odd sizes and modes"
EXAMPLES = (
    "audit photos",
    "audit photos --no-labels --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_source(parser, optional=False)
    parser.add_argument(
        "--no-labels", action="store_true", help="judge the images only, in whatever sub-folders"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.csv",
        help="write a row for every image, with path, label and group: a table that compare and "
        "train take, and keep the images of a group together",
    )  # fmt: skip
    add_network(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of folds (default: 0)")
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Audit, and print what was found."""
    if options.out is not None:
        check_writable("--out", options.out)
    load = load_images if options.no_labels else load_labelled_images
    images = load(options.source, columns_of(options))
    if options.out is not None:
        check_apart("--out", options.out, [options.source, *images.X])
    if not options.quiet:
        say(f"sktransfer: {images.describe()}")
    from sktransfer import audit_images

    table = audit_images(
        images.X,
        None if options.no_labels else images.y,
        backbone=options.backbone,
        weights=options.weights,
        image_size=options.image_size,
        device=options.device,
        batch_size=options.batch_size,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
    )
    if options.out is not None:
        with whole_file(options.out) as unfinished:
            _for_csv(table).to_csv(unfinished, index_label="row")
        note = escaped_names(images.names)
        if note and not options.quiet:
            say(f"sktransfer: {note}")
    if options.json:
        print_result(as_json(_findings(table)))
    else:
        print_result(_as_text(table, images))


def _for_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Name files so that they are found from anywhere, and write text so that a spreadsheet shows it."""
    written = table.copy()
    for name in table.select_dtypes(exclude=["number", "bool"]).columns:
        written[name] = [as_cell(value) for value in table[name]]
    written["path"] = [as_cell(str(Path(path).absolute())) for path in table["path"]]
    return written


def _findings(table: pd.DataFrame) -> dict[str, Any]:
    """Collect the rows that need a look, kind by kind."""
    rows = cast("Any", table)
    copies = rows[rows["near_group"] >= 0]
    return {
        "images": len(table),
        "suspects_withheld": bool(table.attrs.get("suspects_withheld", False)),
        "unreadable": [
            {"path": row.path, "problem": row.problem}
            for row in rows[rows["problem"] != ""].itertuples()
        ],
        "duplicates": [
            {
                "paths": group["path"].tolist(),
                "exact": bool((group["exact_group"] >= 0).all()),
                "leaks": bool(group["leaks"].any()),
                "label_conflict": bool(group["label_conflict"].any()),
            }
            for _, group in copies.groupby("near_group")
        ],
        "suspect_labels": [
            {"path": row.path, "label": row.label, "suggested": row.suggested_label}
            for row in rows[rows["suspect_label"]].itertuples()
        ],
        "odd_sizes": rows.loc[rows["odd_size"], "path"].tolist(),
        "odd_modes": rows.loc[rows["odd_mode"], "path"].tolist(),
    }


def _as_text(table: pd.DataFrame, images: Images) -> str:
    found = _findings(table)
    parts = {
        "unreadable": [f"{item['path']}: {item['problem']}" for item in found["unreadable"]],
        "duplicates": [_of_copies(item) for item in found["duplicates"]],
        "labels that seem wrong (look before you change any)": [
            f"{item['path']}: {item['label']}, or {item['suggested']}?"
            for item in found["suspect_labels"]
        ],
        "unlike most in size": found["odd_sizes"],
        "unlike most in mode": found["odd_modes"],
    }
    lines = [readable(images.describe())]
    for title, items in parts.items():
        lines += [
            "",
            f"{title}: {len(items) or 'none'}",
            *(f"  {readable(item)}" for item in items),
        ]
    from sktransfer.audit.answer import withheld_of  # beside what needs torch

    if withheld := withheld_of(table):
        lines += ["", f"{withheld} Give a network that knows such images, by --backbone."]
    return "\n".join(lines)


def _of_copies(item: dict[str, Any]) -> str:
    notes = ["the same" if item["exact"] else "nearly the same"]
    notes += ["under different labels"] if item["label_conflict"] else []
    notes += ["in different folds"] if item["leaks"] else []
    return f"{', '.join(item['paths'])} ({', '.join(notes)})"
