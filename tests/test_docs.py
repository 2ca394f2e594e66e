"""Every Python block of README.md and of the pages, and every example of a docstring, runs as it stands.

Each block has a namespace and a working folder of its own, because a reader copies one block at a
time. The examples of the gallery run when the pages are built.
"""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import sktransfer
from sktransfer import reference_page

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(sktransfer.__path__, prefix="sktransfer.")
)


def _python_blocks():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(1))
            block = "\n" * line + match[1]  # so that tracebacks tell the line
            yield pytest.param(page, block, id=f"{page.stem}-line{line + 1}")


def _bash_blocks():
    block = re.compile(r"^```bash\n(.*?)\n```$", flags=re.DOTALL | re.MULTILINE)
    return block.findall(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("page", "block"), list(_python_blocks()))
def test_block_of_a_page_runs(page, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(page), "exec"), {"__name__": "__main__"})


def test_pages_have_the_examples_they_should():
    examples = (path.read_text(encoding="utf-8") for path in (ROOT / "docs/gallery").glob("*.py"))
    text = "".join([*(param.values[1] for param in _python_blocks()), *examples])
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


def test_the_reference_lists_every_public_name_and_no_other():
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   (\w+)$", text, flags=re.MULTILINE))
    assert listed == set(sktransfer.__all__) - {"__version__"}


def test_the_question_mark_of_an_estimator_opens_its_page(monkeypatch):
    monkeypatch.setattr(reference_page, "documentation_address", lambda: "https://docs.example")
    estimators = [item for item in map(_public, sktransfer.__all__) if _is_estimator(item)]
    assert len(estimators) > 10
    for estimator in estimators:
        page = f"https://docs.example/reference/sktransfer.{estimator.__name__}.html"
        assert estimator()._get_doc_link() == page


def _public(name):
    return getattr(sktransfer, name)


def _is_estimator(item):
    return isinstance(item, type) and issubclass(item, BaseEstimator)


def test_every_public_class_and_function_says_what_else_to_see():
    described = [name for name in sktransfer.__all__ if callable(_public(name))]
    assert not [name for name in described if "See Also" not in (_public(name).__doc__ or "")]


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
