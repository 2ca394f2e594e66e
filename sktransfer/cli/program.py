"""The program: its commands, and what becomes of their errors."""

from __future__ import annotations

import argparse
import sys
import textwrap
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

from sktransfer.cli import (
    audit,
    backbones,
    compare,
    distil,
    embed,
    export,
    predict,
    rank,
    score,
    train,
)
from sktransfer.cli.output import say_error
from sktransfer.exceptions import ImageDecodeError, SkTransferError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS = {
    "compare": compare,
    "backbones": backbones,
    "rank": rank,
    "train": train,
    "predict": predict,
    "score": score,
    "export": export,
    "embed": embed,
    "distil": distil,
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
    parser = _build_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help()
        return 0
    options = parser.parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _leave_out if options.quiet else _say_warning
            options.run(options)
    except KeyboardInterrupt:
        say_error("interrupted")
        return 130
    except Exception as error:
        if options.traceback:
            raise
        say_error(f"error: {_explain(error, options)}")
        return 1
    return 0


def _explain(error: Exception, options: argparse.Namespace) -> str:
    """Put an error in words: messages for users as they are, others with their class."""
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}). Close other programs, or lower --batch-size."
    if isinstance(error, ImageDecodeError):
        advice = "pass --on-error nan" if hasattr(options, "on_error") else ""
        return str(ImageDecodeError(error.fault, advice))
    if isinstance(error, SkTransferError | OSError | ValueError | ImportError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (--traceback shows where it arose)"


def _say_warning(message: Warning | str, *_: object, **__: object) -> None:
    say_error(f"warning: {message}")


def _leave_out(*_: object, **__: object) -> None:
    """Leave a warning out, because the user asked for quiet."""


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
        examples = "\n".join(f"  sktransfer {example}" for example in module.EXAMPLES)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=textwrap.fill(module.HELP + ".", 79),
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
