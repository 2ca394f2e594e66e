"""The command line, ``python -m sktransfer COMMAND``: thin, it parses, calls and prints.

Exit codes: 0, it worked; 1, it could not be done, and one line on stderr says why; 2, the command
was not understood; 130, interrupted. Results go to stdout, progress and messages to stderr.
"""

from sktransfer.cli.program import main

__all__ = ["main"]
