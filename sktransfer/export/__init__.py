"""Export: a fitted model as an ONNX file that runs without torch and scikit-learn."""

from sktransfer.export.onnx_files import export_onnx
from sktransfer.export.report import ExportReport

__all__ = ["ExportReport", "export_onnx"]
