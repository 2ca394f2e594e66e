"""Every Python block of README.md and every example of a docstring runs as it stands.

Each block of the README has a namespace and a working folder of its own, because a reader copies
one block at a time.
"""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import sktransfer

README = Path(__file__).parents[1] / "README.md"
CASE_STUDIES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(sktransfer.__path__, prefix="sktransfer.")
)


def _python_blocks(page=README):
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        yield pytest.param("\n" * line + match[1], id=f"line{line + 1}")  # tracebacks tell the line


def _bash_blocks():
    block = re.compile(r"^```bash\n(.*?)\n```$", flags=re.DOTALL | re.MULTILINE)
    return block.findall(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize("block", list(_python_blocks()))
def test_readme_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", CASE_STUDIES, ids=lambda page: page.stem)
def test_case_studies_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [param.values[0] for param in _python_blocks(page)]
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {"__name__": "__main__"})


def test_readme_has_the_examples_it_should():
    text = "".join(param.values[0] for param in _python_blocks())
    for name in ("make_pipeline", "GridSearchCV", "ColumnTransformer", "joblib.load"):
        assert name in text


@pytest.mark.parametrize(
    "command",
    ["pip install . && python -m sktransfer compare", 'pip install -e ".[test]" && pytest'],
)
def test_readme_gives_the_two_commands_of_a_fresh_machine(command):
    assert command in _bash_blocks()


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_give_what_they_show(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert result.failed == 0, "see the captured output for the example and what it gave"


def test_public_docstrings_have_an_example():
    # So that the test above cannot pass by there being nothing to run.
    missing = [
        name
        for name in sktransfer.__all__
        if callable(item := getattr(sktransfer, name))
        and not (isinstance(item, type) and issubclass(item, Exception))
        and ">>>" not in (item.__doc__ or "")
    ]
    assert not missing
