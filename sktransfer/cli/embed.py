"""``embed``: the features of a folder of images, in one file; goes on where it was interrupted."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.cli import model_files
from sktransfer.cli.arguments import (
    add_columns,
    add_manner,
    add_network,
    split_layers,
    split_words,
)
from sktransfer.cli.kept_features import folder_beside, remove_folder
from sktransfer.cli.output import (
    as_json,
    check_apart,
    check_writable,
    escaped_names,
    print_result,
    say,
    whole_file,
)
from sktransfer.cli.parts import add_jobs, write_parts
from sktransfer.cli.sources import (
    columns_of,
    load_images,
    naming_all_broken,
    with_labels_of_folders,
)
from sktransfer.readable import as_cell, readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sktransfer.cli.sources import Images

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "write the features of images to a file"
EXAMPLES = (
    "embed photos --out features.parquet",
    "embed photos --backbone resnet50 --layers=-2,-1 --out features.npz",
    "embed model.joblib s3://bucket/*.tar --out features --jobs 8",
)

_KINDS = (".parquet", ".npz", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "source", nargs="+", metavar="FOLDER|CSV",
        help="a folder of images, or of sub-folders of images, or a CSV file with a column path. After a "
        "saved model that transforms images, such as model.joblib or model.skops, also tar or Parquet "
        f"files of images, or URLs; unless it ends in .skops, {model_files.TRUST}",
    )  # fmt: skip
    add_columns(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE|FOLDER",
        help="ends in .parquet or .csv, for a table with the columns path, label (of a table, or the "
        "sub-folder, where all images lie in sub-folders), and one for each feature; or in .npz, for the "
        "arrays paths, labels, names and features. "
        "Of a saved model a folder of Parquet files, part by part",
    )  # fmt: skip
    parser.add_argument(
        "--layers", type=split_layers, metavar="A,B",
        help="layers side by side, by name or counted from the end (default: the last stage). "
        "Write --layers=-1 with a sign",
    )  # fmt: skip
    parser.add_argument(
        "--pooling", type=split_words, default=["avg"], metavar="A",
        help="a pooling, or one for each layer; a name that is none gets the list of all "
        "(default: avg)",
    )  # fmt: skip
    parser.add_argument(
        "--store", type=Path, metavar="FOLDER",
        help="where features are kept while and after they are computed; the same command, started "
        "again after an interruption, goes on where it was (default: a folder beside the file, "
        "removed when the file is there)",
    )  # fmt: skip
    parser.add_argument(
        "--on-error", choices=("raise", "nan"), default="raise",
        help="what an unreadable image does: end the command, or give a row of NaN "
        "(default: %(default)s)",
    )  # fmt: skip
    add_jobs(parser, "a saved model")
    add_network(parser)
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Compute the features that the store does not have, and write the file; or a saved model's parts."""
    first = Path(options.source[0])
    if model_files.is_model(first):
        _run_saved(first, options)
        return
    if len(options.source) > 1 or options.jobs is not None:
        raise ValueError(
            f"{options.source[0]!r} is no saved model. Several sources, and --jobs, need one first, such as "
            "model.joblib; without a model give one folder or table."
        )
    _check_kind(options.out)
    check_writable("--out", options.out)
    images = load_images(first, columns_of(options))
    images = with_labels_of_folders(images, first)
    check_apart("--out", options.out, [first, *images.X])
    from sktransfer import DeepFeatureTransformer
    from sktransfer.backbones import choose_backbone

    if options.store is None:
        store, was_there = folder_beside(options.out, "embed", "store")
    else:
        store, was_there = options.store, options.store.exists()
    if not options.quiet:
        going_on = ", going on where it was" if was_there else ""
        say(f"sktransfer: {images.describe()}{going_on}")
    transformer = DeepFeatureTransformer(
        choose_backbone(options.backbone, options.weights).backbone,
        weights=options.weights,
        layers=options.layers,
        pooling=options.pooling[0] if len(options.pooling) == 1 else options.pooling,
        image_size=options.image_size,
        device=options.device,
        batch_size=options.batch_size,
        cache=store,
        on_error=options.on_error,
        random_state=0,
        verbose=0 if options.quiet else 1,
    )
    with naming_all_broken(images.X):
        features = transformer.fit_transform(images.X)
    with whole_file(options.out) as unfinished:
        _write(unfinished, options.out.suffix, images, features, transformer)
    if options.store is None:
        transformer.clear_cache()
        remove_folder(store, "embed")
    note = escaped_names(images.names)
    if note and not options.quiet:
        say(f"sktransfer: {note}")
    failed = [images.names[row] for row in transformer.failed_]
    _report(options, features, failed)


def _run_saved(model: Path, options: argparse.Namespace) -> None:
    """Write the features that a saved model makes of images, part by part."""
    if len(options.source) == 1:
        raise ValueError(f"{str(model)!r} is a model. Name the images after it.")
    if options.out.suffix in _KINDS:
        raise ValueError(
            f"--out {str(options.out)!r}: the features of a saved model are parts in a folder. Give its name."
        )
    _refuse_settings_of_a_network(options)
    if not options.quiet:
        say(f"sktransfer: loading {model}; {model_files.describe(model)}")
    loaded = model_files.load(model, "fit")
    features = _without_last_step(loaded)
    as_given = features is loaded
    write_parts(
        model if as_given else features,
        options.source[1:],
        "transform",
        options,
        as_object=options.json,
    )


def _refuse_settings_of_a_network(options: argparse.Namespace) -> None:
    """Refuse options that a saved model has answered when it was fitted."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for name in (
        "backbone",
        "weights",
        "layers",
        "pooling",
        "image_size",
        "store",
        "device",
        "batch_size",
    ):
        if getattr(options, name) != parser.get_default(name):
            raise ValueError(
                f"--{name.replace('_', '-')} is not possible with a saved model, whose network is settled. "
                "Leave it out, or leave the model out."
            )


def _without_last_step(model: Any) -> Any:
    """Return what makes the features: a pipeline that ends with a classifier, without that."""
    from sklearn.pipeline import Pipeline

    found = getattr(model, "best_estimator_", model)
    ends_otherwise = isinstance(found, Pipeline) and not hasattr(found, "transform")
    return found[:-1] if ends_otherwise else model


def _check_kind(out: Path) -> None:
    if out.suffix not in _KINDS:
        raise ValueError(f"--out {str(out)!r} must end in one of {', '.join(_KINDS)}.")
    if out.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ImportError(
            f"--out {str(out)!r}: files that end in .parquet need the package pyarrow. Install it "
            "with: pip install pyarrow; or choose .npz or .csv."
        )


def _write(
    file: Path, kind: str, images: Images, features: NDArray[np.float32], transformer: Any
) -> None:
    names = transformer.get_feature_names_out()
    if kind == ".npz":
        arrays = {"paths": np.asarray(images.names, dtype=str), "names": names.astype(str)}
        if images.y is not None:
            arrays["labels"] = np.asarray(images.y, dtype=str)
        with file.open("wb") as out:
            np.savez(out, allow_pickle=False, features=features, **arrays)
        return
    import pandas as pd

    table = pd.DataFrame(features, columns=names)
    as_text = as_cell if kind == ".csv" else readable
    if images.y is not None:
        table.insert(0, "label", [as_text(label) for label in images.y])
    table.insert(0, "path", [as_text(name) for name in images.names])
    if kind == ".csv":
        table.to_csv(file, index=False)
    else:
        table.to_parquet(file, index=False)


def _report(options: argparse.Namespace, features: NDArray[np.float32], failed: list[str]) -> None:
    n_images, n_features = features.shape
    if options.json:
        result = {
            "file": options.out,
            "images": n_images,
            "features": n_features,
            "failed": failed,
        }
        print_result(as_json(result))
        return
    print_result(f"{n_features} features of each of {n_images} images are in {options.out}.")
    if failed:
        print_result(f"NaN, because they cannot be read: {', '.join(map(readable, failed))}")
