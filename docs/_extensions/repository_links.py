"""Links of pages to files of the repository that are pages here lead to these pages.

On the forge a page links to the file, `../benchmarks/RESULTS.md`; on the site that file is the page `results`.
"""

_PAGE_OF_FILE = {
    "(../benchmarks/RESULTS.md": "(results.md",
    "(../CONTRIBUTING.md": "(contributing.md",
    "(../CHANGELOG.md": "(changelog.md",
}


def setup(app):
    app.connect("source-read", _lead_to_pages)
    return {"parallel_read_safe": True}


def _lead_to_pages(app, docname, source):
    for file, page in _PAGE_OF_FILE.items():
        source[0] = source[0].replace(file, page)
