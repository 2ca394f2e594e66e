"""``distil``: a small network learns from a better one by images without labels, and its weights are saved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sktransfer.cli.arguments import add_manner, add_network, add_source, at_least
from sktransfer.cli.kept_features import folder_beside, remove_folder
from sktransfer.cli.output import as_json, check_apart, check_writable, print_result, say
from sktransfer.cli.sources import columns_of, load_images, load_labelled_images, naming_all_broken
from sktransfer.exceptions import WorseTeacherError
from sktransfer.formatting import counted
from sktransfer.readable import readable

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from sktransfer import DistilledFeatureTransformer

__all__ = ["EXAMPLES", "HELP", "add_arguments", "run"]

HELP = "let a small network learn from a better one, by images without labels, and save its weights"
EXAMPLES = ("distil photos --teacher mobilenet_v2 --out mine.safetensors",)

_KIND = ".safetensors"
_UNCHECKED = (
    "sktransfer: nothing tells whether the teacher is better than the network, and a worse one makes it worse; "
    "--labelled names a few labelled images that do"
)


class _Lesson(NamedTuple):
    """The images to learn by, and the labels of some of them."""

    X: NDArray[np.object_]
    y: NDArray[np.object_] | None
    words: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_source(parser, optional=False, labelled=False)
    parser.add_argument(
        "--out", type=Path, required=True, metavar=f"FILE{_KIND}",
        help="where the weights go, replacing what is there; every other command takes them by --weights",
    )  # fmt: skip
    parser.add_argument(
        "--backbone", default="tiny", metavar="NAME",
        help="the network that learns (default: %(default)s, which is bundled)",
    )  # fmt: skip
    parser.add_argument(
        "--weights", default="default", metavar="NAME",
        help="weights that it starts from, as in other commands (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--labelled", type=Path, metavar="FOLDER|CSV",
        help="a few labelled images, which tell whether the teacher is better at all; one that is not is "
        "refused. Their labels are not learned from",
    )  # fmt: skip
    add = parser.add_argument_group("teacher").add_argument
    add("--teacher", default="resnet50", metavar="NAME",
        help="the better network (default: %(default)s, with ImageNet weights, downloaded once)")  # fmt: skip
    add("--teacher-weights", default="default", metavar="NAME",
        help="its weights (default: %(default)s)")  # fmt: skip
    add("--teacher-size", type=at_least(1), metavar="PIXELS",
        help="side of its input (default: what its weights were trained with)")  # fmt: skip
    add = parser.add_argument_group("training").add_argument
    add("--stages", type=at_least(1), default=1, metavar="N",
        help="last stages of the network that learn (default: %(default)s)")  # fmt: skip
    add("--max-epochs", type=at_least(1), metavar="N",
        help="passes over the images (default: 60 over up to 400, fewer over more, 12 from 2,000 on)")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N",
        help="of everything random (default: %(default)s)")  # fmt: skip
    add_network(parser, chosen=False)
    parser.set_defaults(batch_size=128)
    add_manner(parser)


def run(options: argparse.Namespace) -> None:
    """Let the network learn, save its weights, and say what the labels tell of it."""
    if options.out.suffix != _KIND:
        raise ValueError(
            f"--out {str(options.out)!r} must end in {_KIND}, the only kind of file that is written."
        )
    check_writable("--out", options.out)
    lesson = _load(options)
    check_apart("--out", options.out, [options.source, *lesson.X])
    store, was_there = folder_beside(options.out, "distil", "store")
    if not options.quiet:
        going_on = ", going on where it was" if was_there else ""
        say(f"sktransfer: {lesson.words}{going_on}")
        if lesson.y is None:
            say(_UNCHECKED)
    start = time.perf_counter()
    try:
        with naming_all_broken(lesson.X):
            student = _student(options, store, check=lesson.y is not None).fit(lesson.X, lesson.y)
    except WorseTeacherError:
        remove_folder(store, "distil")
        raise
    student.save_weights(options.out)
    remove_folder(store, "distil")
    _report(options, student, len(lesson.X), time.perf_counter() - start)


def _load(options: argparse.Namespace) -> _Lesson:
    """List all images, those with labels last."""
    images = load_images(options.source, columns_of(options))
    words = images._replace(y=None).describe()
    if options.labelled is None:
        return _Lesson(images.X.astype(object), None, words)
    labelled = load_labelled_images(options.labelled, columns_of(options))
    assert labelled.y is not None
    known = set(labelled.X)
    others = np.array([path for path in images.X if path not in known], dtype=object)
    X = np.concatenate([others, labelled.X.astype(object)])
    y = np.concatenate([np.full(len(others), None, object), labelled.y.astype(object)])
    return _Lesson(X, y, f"{words}; {labelled.describe()}")


def _student(
    options: argparse.Namespace, store: Path, *, check: bool
) -> DistilledFeatureTransformer:
    from sktransfer import DeepFeatureTransformer, DistilledFeatureTransformer

    how: dict[str, Any] = {"device": options.device, "cache": store}
    teacher = DeepFeatureTransformer(
        options.teacher,
        weights=options.teacher_weights,
        image_size=options.teacher_size,
        verbose=0 if options.quiet else 1,
        **how,
    )
    return DistilledFeatureTransformer(
        options.backbone,
        weights=options.weights,
        teacher=teacher,
        n_trainable=options.stages,
        max_epochs=options.max_epochs or "auto",
        image_size=options.image_size,
        batch_size=options.batch_size,
        check_teacher=check,
        unlabeled=None,
        random_state=options.seed,
        **how,
    )


def _report(
    options: argparse.Namespace, student: DistilledFeatureTransformer, n_images: int, seconds: float
) -> None:
    if options.json:
        result = {
            "weights": options.out,
            "backbone": options.backbone,
            "teacher": options.teacher,
            "images": n_images,
            "epochs": student.n_iter_,
            "seconds": seconds,
            "teacher_score": student.teacher_score_,
            "student_score": student.student_score_,
            "distilled_score": student.distilled_score_,
        }
        print_result(as_json(result))
        return
    print_result(
        f"{options.backbone} has learned from {options.teacher} by {n_images} images, in "
        f"{counted(student.n_iter_, 'pass', 'passes')}; its weights are in {options.out}."
    )
    if student.distilled_score_ is not None:
        print_result(
            "Accuracy of a linear classifier over folds of the labelled images: "
            f"{student.student_score_:.3f} before, {student.distilled_score_:.3f} now, "
            f"{student.teacher_score_:.3f} of the teacher."
        )
    print_result(
        "Use them with:\n"
        + readable(
            f"  sktransfer compare FOLDER --backbone {options.backbone} --weights {options.out}"
        )
    )
