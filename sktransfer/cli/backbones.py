"""``backbones``: the networks to choose from, and what is known of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from sktransfer.cli.output import as_json, as_table, print_result

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "list the networks to choose from, with sizes, published accuracy and licence"
EXAMPLES = (
    "backbones 'resnet*'",
    "backbones 'timm:vit_small*'",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "pattern", nargs="?", metavar="PATTERN",
        help='names to list, such as "resnet*", or "timm:vit_small*" (default: all of torchvision and tiny, '
        "by name alone)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no messages on stderr")
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")


def run(options: argparse.Namespace) -> None:
    """Print names, and with a pattern what is known of each network."""
    from sktransfer import list_backbones

    names = list_backbones(options.pattern)
    if not names:
        raise ValueError(
            f"no network matches {options.pattern!r}. Names are those of torchvision, such as 'resnet*', or "
            "of timm, such as 'timm:vit_small*'."
        )
    if options.pattern is None and not options.json:
        print_result("\n".join(names))
        return
    table = list_backbones(options.pattern, details=True)
    if options.json:
        print_result(as_json(table.to_dict(orient="records")))
    else:
        print_result(
            as_table(
                [_row(row) for row in cast("Any", table).itertuples()], left=("network", "licence")
            )
        )


def _row(row: Any) -> dict[str, str]:
    return {
        "network": row.backbone,
        "M parameters": f"{row.parameters / 1e6:.1f}",
        "pixels": str(row.input_size),
        "width": str(row.width),
        "top-1 %": "" if math.isnan(row.top1) else f"{row.top1:.1f}",
        "MB": "" if math.isnan(row.download_mb) else f"{row.download_mb:.0f}",
        "licence": row.licence,
    }
