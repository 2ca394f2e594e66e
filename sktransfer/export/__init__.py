"""Export: a fitted model as an ONNX file that runs without torch, or as a file without any code."""

from sktransfer.export.converter import register_converter
from sktransfer.export.onnx_files import export_onnx
from sktransfer.export.report import ExportReport
from sktransfer.export.skops_files import load_model, save_model
from sktransfer.export.trusted_types import TRUSTED_TYPES

__all__ = [
    "TRUSTED_TYPES",
    "ExportReport",
    "export_onnx",
    "load_model",
    "register_converter",
    "save_model",
]
