"""The directive `network-table`: networks with what the package knows of them, read when the pages are built."""

from docutils import nodes
from docutils.parsers.rst import Directive

from sktransfer import list_backbones


class NetworkTable(Directive):
    """Lists the networks that its lines name."""

    has_content = True

    def run(self):
        rows = [_row(list_backbones(name, details=True).iloc[0]) for name in self.content]
        return [_table(["network", "input", "parameters", "top-1", "MB", "licence"], rows)]


def _row(network):
    top1 = "" if network["top1"] != network["top1"] else f"{network['top1']:.1f} %"
    return [
        network["backbone"],
        f"{network['input_size']} px",
        f"{network['parameters'] / 1e6:.1f} M",
        top1,
        f"{network['download_mb']:.0f}" if network["download_mb"] else "bundled",
        network["licence"].split(";")[0],
    ]


def _table(head, rows):
    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in head], cols=len(head))
    group += nodes.thead("", _line(head))
    group += nodes.tbody("", *[_line(row) for row in rows])
    return nodes.table("", group)


def _line(cells):
    return nodes.row("", *[nodes.entry("", nodes.paragraph("", cell)) for cell in cells])


def setup(app):
    app.add_directive("network-table", NetworkTable)
    return {"parallel_read_safe": True}
