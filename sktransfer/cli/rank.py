"""``rank``: which network suits the images, told from its features, without training one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sktransfer.cli.arguments import add_manner, add_network, add_source, split_words
from sktransfer.cli.output import as_json, as_table, print_result, say, say_error
from sktransfer.cli.sources import columns_of, load_labelled_images, naming_all_broken
from sktransfer.exceptions import WeightsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "rank networks by how well their features suit the images, without training one"
EXAMPLES = (
    "rank photos",
    "rank photos --backbones resnet50,mobilenet_v2 --method linear_cv",
)

_USUAL = ("tiny", "mobilenet_v2", "efficientnet_b0", "resnet50")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_source(parser, optional=True)
    parser.add_argument(
        "--backbones", type=split_words, default=list(_USUAL), metavar="A,B=WEIGHTS",
        help="networks to rank, by name; = adds weights, a file or a name, such as "
        "mobilenet_v2=mine.safetensors or tiny=random; one whose weights cannot be had is left out "
        f"(default: {','.join(_USUAL)})",
    )  # fmt: skip
    parser.add_argument(
        "--method", default="logme", metavar="NAME",
        help="logme, hscore, shrunk_hscore, leep, nleep, knn or linear_cv (default: %(default)s)",
    )  # fmt: skip
    add_network(parser, chosen=False)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Rank, and print the table."""
    images = load_labelled_images(options.source, columns_of(options))
    if not options.quiet:
        say(f"sktransfer: {images.describe()}")
    from sktransfer import rank_backbones

    assert images.y is not None
    entries = _with_weights(_entries(options))
    with naming_all_broken(images.X):
        table = rank_backbones(
            images.X,
            images.y,
            backbones=entries,
            method=options.method,
            random_state=options.seed,
            verbose=0 if options.quiet else 1,
        )
    if options.json:
        print_result(as_json(table.to_dict(orient="records")))
    else:
        print_result(as_table(_shown(table), left=("backbone",)))


def _with_weights(entries: dict[str, Any]) -> dict[str, Any]:
    """Leave out networks whose weights are neither here nor can be downloaded, and say so.

    Raises
    ------
    WeightsError
        If that leaves none.
    """
    problems = {name: _problem_with(transformer) for name, transformer in entries.items()}
    left = {name: entries[name] for name, problem in problems.items() if problem is None}
    for name, problem in problems.items():
        if problem is not None and not left:
            raise problem
        if problem is not None:
            say_error(f"warning: {name} is left out: {problem}")
    return left


def _problem_with(transformer: Any) -> WeightsError | None:
    """Load the weights of a network, which a process does once, and return what is wrong with them."""
    from sktransfer.backbones import load_backbone

    seed = transformer.random_state
    try:
        load_backbone(transformer.backbone, transformer.weights, random_state=seed)
    except WeightsError as exc:
        return exc
    return None


def _entries(options: argparse.Namespace) -> dict[str, Any]:
    from sktransfer import DeepFeatureTransformer

    return {
        entry: DeepFeatureTransformer(
            name,
            weights=weights or "default",
            image_size=options.image_size,
            device=options.device,
            batch_size=options.batch_size,
            random_state=options.seed,
        )
        for entry in options.backbones
        for name, _, weights in [entry.partition("=")]
    }


def _shown(table: pd.DataFrame) -> Sequence[dict[str, str]]:
    return [
        {
            "backbone": row.backbone,
            "score": f"{row.score:.4f}",
            "seconds": f"{row.seconds:.2f}",
            "width": f"{row.width}",
            "parameters": f"{row.parameters:,}",
            "weights MB": f"{row.weights_bytes / 1e6:.1f}",
        }
        for row in cast("Any", table).itertuples()
    ]
