"""The program: its commands, and what becomes of their errors."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import TYPE_CHECKING

from sktransfer.cli import audit, compare, embed, predict, rank, train
from sktransfer.cli.output import say
from sktransfer.exceptions import SkTransferError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS = {
    "compare": compare,
    "rank": rank,
    "train": train,
    "predict": predict,
    "embed": embed,
    "audit": audit,
}


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
        say("sktransfer: interrupted")
        return 130
    except (SkTransferError, OSError, ValueError, ImportError) as error:
        if options.traceback:
            raise
        say(f"sktransfer: error: {' '.join(str(error).split())}")
        return 1
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sktransfer",
        description="Transfer learning on images for users of scikit-learn.",
        epilog="Results go to stdout, progress and messages to stderr. Exit codes: 0, it worked; "
        "1, it could not be done; 2, the command was not understood; 130, interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('sktransfer')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP + ".")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
