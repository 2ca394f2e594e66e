"""The page: sections of HTML in a frame that loads nothing, for phones and desks, light and dark."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Section", "items", "make_page", "or_sentence", "paragraphs"]

# The policy makes the browser refuse whatever this file does not hold itself.
_FRAME = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="soft">$subtitle</p>
</header>
<main>
$sections
</main>
<footer><p class="soft">$footer</p></footer>
</body>
</html>
""")


class Section(NamedTuple):
    """A heading and what is below it."""

    title: str
    """Plain text; the section of the answer has none."""
    body: str
    """HTML."""


def make_page(title: str, subtitle: str, sections: Sequence[Section], footer: str) -> str:
    """Put sections together to a page.

    Parameters
    ----------
    title, subtitle, footer : str
        Plain text.
    sections : sequence of Section
        In order.

    Examples
    --------
    >>> page = make_page("Ants < bees", "", [Section("Table", "<p>...</p>")], "")
    >>> "<h1>Ants &lt; bees</h1>" in page, '<h2 id="section-1">Table</h2>' in page
    (True, True)
    """
    parts = []
    for number, (heading, body) in enumerate(sections, 1):
        if heading:
            label = f"section-{number}"
            heading = f'<h2 id="{label}">{escape(heading)}</h2>\n'
            parts.append(f'<section aria-labelledby="{label}">\n{heading}{body}\n</section>')
        else:
            parts.append(f'<section aria-label="Answer">\n{body}\n</section>')
    return _FRAME.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        style=files(__package__).joinpath("page.css").read_text(encoding="utf-8"),
        sections="\n".join(parts),
        footer=escape(footer),
    )


def or_sentence(title: str, make: Callable[[], Section]) -> Section:
    """Make a section; one that fails becomes a sentence that says why, and the others stand.

    Examples
    --------
    >>> or_sentence("Ratio", lambda: Section("Ratio", str(1 / 0))).body
    '<p class="soft">This section could not be made (ZeroDivisionError: division by zero).</p>'
    """
    try:
        return make()
    except Exception as exc:  # noqa: BLE001 - whatever it is, the other sections are of use
        text = f"This section could not be made ({type(exc).__name__}: {exc})."
        return Section(title, paragraphs(text, kind="soft"))


def paragraphs(*texts: str, kind: str = "") -> str:
    """Make each plain text a paragraph; empty ones are left out.

    Examples
    --------
    >>> paragraphs("a < b", "", kind="soft")
    '<p class="soft">a &lt; b</p>'
    """
    attribute = f' class="{kind}"' if kind else ""
    return "\n".join(f"<p{attribute}>{escape(text)}</p>" for text in texts if text)


def items(texts: Sequence[str]) -> str:
    """Make plain texts a list."""
    return "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"
