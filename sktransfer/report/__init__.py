"""The report: a comparison as one self-contained HTML file, to be sent to a colleague."""

from sktransfer.report.rendering import render_report

__all__ = ["render_report"]
