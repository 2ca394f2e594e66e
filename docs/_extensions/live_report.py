"""The report that an example of the gallery writes becomes a page of the site, `live/report.html`."""

import shutil
from pathlib import Path


def setup(app):
    app.connect("build-finished", _copy_report)
    return {"parallel_read_safe": True}


def _copy_report(app, exception):
    if exception is None and app.builder.name == "html":
        live = Path(app.outdir) / "live"
        live.mkdir(exist_ok=True)
        shutil.copy(Path(app.srcdir) / "gallery" / "report.html", live)
