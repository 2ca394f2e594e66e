"""Links of pages to files of the repository that are pages here lead to these pages.

On the forge a page links to the file, `../benchmarks/RESULTS.md`; on the site that file is the page `results`.
Examples of the gallery are linked to as the files that they are made of.
"""

import re

_PAGE_OF_FILE = {
    r"\(\.\./benchmarks/RESULTS\.md": "(results.md",
    r"\(\.\./CONTRIBUTING\.md": "(contributing.md",
    r"\(\.\./CHANGELOG\.md": "(changelog.md",
    r"\(gallery/(plot_\w+)\.py": r"(examples/\1.rst",
}


def setup(app):
    app.connect("source-read", _lead_to_pages)
    return {"parallel_read_safe": True}


def _lead_to_pages(app, docname, source):
    for file, page in _PAGE_OF_FILE.items():
        source[0] = re.sub(file, page, source[0])
