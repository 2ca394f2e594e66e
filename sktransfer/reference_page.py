"""The "?" of an estimator in a notebook: it opens the page of its class in the reference."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["ReferencePage", "documentation_address"]


@cache
def documentation_address() -> str:
    """Return the address of the pages, as the installed package's project URLs say it, or "".

    Examples
    --------
    >>> documentation_address().endswith("/")
    False
    """
    try:
        urls = metadata.metadata("sktransfer").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # run from a folder, without an installation
        return ""
    named = dict(url.split(", ", 1) for url in urls)
    return str(named.get("Documentation", "")).rstrip("/")


class ReferencePage:
    """Mixin of estimators, to stand before ``BaseEstimator``, whose link is to scikit-learn's pages.

    Examples
    --------
    >>> from sktransfer import NeighborSmoother
    >>> NeighborSmoother()._get_doc_link() in (
    ...     f"{documentation_address()}/reference/sktransfer.NeighborSmoother.html", "")
    True
    """

    _doc_link_module = "sktransfer"

    @property
    def _doc_link_template(self) -> str:
        address = documentation_address()
        return f"{address}/reference/sktransfer.{{estimator_name}}.html" if address else ""
