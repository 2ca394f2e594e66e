import inspect
import re

from sktransfer import exceptions

TREE = exceptions.__doc__.partition(".. code-block:: text\n\n")[2].partition("\n\n")[0]
LINE = re.compile(r"(?P<lines>(?:│   |    )*(?:[├└]── )?)(?P<name>\w+)(?: \((?P<builtin>\w+)\))?")


def _bases_drawn():
    above, bases = [], {}
    for line in TREE.splitlines():
        one = LINE.match(line)
        depth = len(one["lines"]) // 4 - 1  # the block is indented
        assert depth <= len(above), f"{line!r} hangs on nothing"
        del above[depth:]
        bases[one["name"]] = [*above[-1:], *filter(None, [one["builtin"]])]
        above.append(one["name"])
    return bases


def test_the_tree_at_the_top_is_that_of_the_classes():
    drawn = _bases_drawn()
    for builtin in ("Exception", "UserWarning", "KeyboardInterrupt"):
        assert drawn.pop(builtin) == []
    assert drawn == {
        name: [base.__name__ for base in one.__bases__]
        for name, one in inspect.getmembers(exceptions, inspect.isclass)
    }


def test_every_branch_of_the_tree_goes_on_until_it_bends():
    lines = TREE.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        for column, mark in enumerate(line):
            goes_on = below[column : column + 1] in tuple("│├└")
            assert mark not in "│├└" or goes_on == (mark != "└"), (line, column)


def test_every_error_but_the_root_is_a_builtin_that_scikit_learns_users_catch():
    for one in exceptions.SkTransferError.__subclasses__():
        assert issubclass(one, ValueError | OSError | RuntimeError)
