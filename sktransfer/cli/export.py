"""``export``: a saved model as a file of ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sktransfer.cli import model_files
from sktransfer.cli.arguments import add_manner
from sktransfer.cli.output import as_json, check_apart, check_writable, print_result, say
from sktransfer.folders import list_images

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "write a saved model as an ONNX file, which runs without torch and scikit-learn"
EXAMPLES = ("export model.joblib --out model.onnx --check photos",)

_MOST_CHECKED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    model_files.add_arguments(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.onnx",
        help="where the file goes, replacing what is there",
    )  # fmt: skip
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER",
        help=f"compare the file with the model on up to {_MOST_CHECKED} images of this folder "
        "(default: images drawn for the purpose)",
    )  # fmt: skip
    parser.add_argument(
        "--opset", type=int, default=18, metavar="N",
        help="version of ONNX's operators, 18 to 21 (default: %(default)s)",
    )  # fmt: skip
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Load, export, and say how near the file comes to the model."""
    check_writable("--out", options.out)
    check_apart("--out", options.out, [options.model])
    if not options.quiet:
        say(f"sktransfer: loading {options.model}; {model_files.describe(options.model)}")
    model = model_files.load(options.model, weights=options.weights)
    from sktransfer.export import export_onnx

    check = None if options.check is None else list_images(options.check)[:_MOST_CHECKED]
    report = export_onnx(model, options.out, check=check, opset=options.opset)
    if options.json:
        print_result(as_json(vars(report)))
        return
    print_result(
        f"{options.out} ({report.bytes / 1e6:.1f} MB) takes images (n, height, width, 3), uint8, and "
        f"gives {', '.join(report.outputs)}. On {report.n_checked} images it differs from the model by "
        f"at most {report.max_difference:.1g}, and {report.agreement:.0%} of labels are the same."
    )
