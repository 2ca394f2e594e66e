"""The directive `command-help`: the help of a command of the terminal, as the program prints it."""

import contextlib
import io
import os

from docutils import nodes
from docutils.parsers.rst import Directive

from sktransfer.cli import main


class CommandHelp(Directive):
    """Shows what `sktransfer COMMAND --help` prints."""

    required_arguments = 1

    def run(self):
        return [nodes.literal_block("", _help_of(self.arguments[0]), language="text")]


def _help_of(command):
    os.environ["COLUMNS"] = "92"
    os.environ["NO_COLOR"] = "1"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return printed.getvalue().strip()


def setup(app):
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
