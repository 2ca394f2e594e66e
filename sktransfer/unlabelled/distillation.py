"""`DistilledFeatureTransformer`: a small network learns from a better one, by images without labels."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sktransfer.docstrings import documented
from sktransfer.exceptions import WorseTeacherError
from sktransfer.features.taps import resolve_slots
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.parameters import check_integer, check_parameters, checked, choice, integer, number
from sktransfer.randomness import draw_seed
from sktransfer.training.atomic_fit import restored_on_failure
from sktransfer.training.settings import training_settings
from sktransfer.training.tuned_features import TunedFeatures
from sktransfer.unlabelled.passes import n_passes
from sktransfer.unlabelled.teacher_check import BETTER_BY, labelled_rows

if TYPE_CHECKING:
    import os
    from contextlib import AbstractContextManager

    from numpy.typing import ArrayLike, NDArray

    from sktransfer.backbones.spec import BackboneLike
    from sktransfer.training.unfinished import Unfinished
    from sktransfer.unlabelled.distil import Student
    from sktransfer.unlabelled.teacher_check import LabelledRows

__all__ = ["DistilledFeatureTransformer"]


def _check_max_epochs(name: str, value: object) -> None:
    if value != "auto":
        check_integer(name, value, 1, "passes over the images; or 'auto'")


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class DistilledFeatureTransformer(TunedFeatures):
    """Turn images into features of a small network that has learned from a better one.

    The teacher runs once an image, and so do the student's frozen stages; its last stages then learn
    to give vectors that predict the teacher's, and that are alike where the teacher's are [1]_ [2]_.
    Labels are not learned from. They tell, by folds, whether the teacher is better at all: the student
    becomes better or worse with it, so a worse one is refused.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec, default="tiny"
        The student; as in :class:`~sktransfer.DeepFeatureTransformer`.
    teacher : str, nn.Module, callable, BackboneSpec or DeepFeatureTransformer, default="resnet50"
        The better network; or a transformer, whose layers, poolings and size of images are its own.
    teacher_weights : str or path, default="default"
        Weights of the teacher, if it is no transformer.
    strategy : {"partial", "full", "scratch"}, default="partial"
        Part of the student that learns: its last `n_trainable` stages, on stored maps; everything; or
        everything from random weights.
    head : {"linear", "mlp"} or callable, default="linear"
        Map from the student's vector to the teacher's; not part of the features.
    mix : float, default=1.0
        Weight of what was learned, from 0 to 1; the student's first weights have the rest.
        Statistics of BatchNorm are taken anew. Gain and harm shrink alike.
    max_epochs : int or "auto", default="auto"
        Passes over the images; "auto" is 60 over up to 400 images, fewer over more, and 12 over 2,000 and more.
    lr : float, default=0.001
        Learning rate of the head.
    backbone_lr : float or None, default=0.001
        Learning rate of the student; None is a tenth of `lr`.
    batch_size : int, default=128
        Largest number of images in a step, whose vectors are compared with each other.
    augmentation : {"auto", "light", "strong"}, None or callable, default="auto"
        "auto" takes parts of stored maps and mirrors them, or is "light" where all stages learn. Other
        augmentations are of pixels, as in fine-tuning. The teacher sees whole images always.
    freeze_batchnorm : bool, default=False
        Whether BatchNorm keeps its statistics in stages that learn, which did harm where it was tried.
    early_stopping : bool, default=False
        Whether a part of the images is held back, and the weights with the smallest loss of these are
        kept. That loss says little about how useful features are.
    check_teacher : bool, default=True
        Whether labels, where there are any, decide if the teacher is good enough. With fewer than 20 a class
        they do so with errors.
    unlabeled : object, default=-1
        Label of rows that have none; None, NaN and pandas' NA are possible.

    Attributes
    ----------
    teacher_score_, student_score_, distilled_score_ : float or None
        Accuracy of a linear classifier over folds of the labelled rows: on the teacher's vectors, on
        the student's before, and on those that it has learned. None where no labels allow it.
    history_ : list of dict
        Records of the epochs: epoch, train_loss, lr, backbone_lr and seconds.
    n_iter_ : int
        Number of epochs that were run.
    trunk_ : {"maps", "pixels"}
        Stored output of what ran once an image, on which the epochs trained.
    trunk_reason_ : str
        Reason for it, in words.
    failed_ : list of int
        Rows of the fit whose images could not be read.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.

    Raises
    ------
    WorseTeacherError
        From `fit`, if the teacher's vectors are not better than the student's by .02 of accuracy, by folds.
    TrainingError
        From `fit`, if the loss becomes NaN, with epoch and rate.
    UnknownBackboneError, WeightsError, WeightsNotFoundError, DeviceError, ImageDecodeError
        As in :class:`~sktransfer.DeepFeatureTransformer`.

    Warns
    -----
    TeacherWarning
        From `fit`, if there are no labels to check the teacher by.

    See Also
    --------
    DeepFeatureTransformer : Features of a network as it is.
    compare_strategies : Says with ``teacher=`` whether it helps.

    References
    ----------
    .. [1] Romero et al., "FitNets: Hints for thin deep nets", ICLR 2015, equation 3, there with squared
       errors in place of cosines.
    .. [2] Tung, Mori, "Similarity-preserving knowledge distillation", ICCV 2019, equation 4.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 100, y, -1)  # the other images have no label
    >>> raw = DeepFeatureTransformer("tiny", weights="random", random_state=0)
    >>> model = DistilledFeatureTransformer(raw.backbone, weights="random", teacher="tiny",
    ...                                     max_epochs=1, image_size=32, random_state=0)
    >>> model.fit(X[:200], few[:200]).transform(X[:3]).shape
    (3, 256)
    >>> model.teacher_score_ > model.student_score_
    True
    """

    backbone: BackboneLike = field(default="tiny", kw_only=False)
    teacher: BackboneLike | DeepFeatureTransformer = "resnet50"
    teacher_weights: str | os.PathLike[str] = "default"
    strategy: Literal["partial", "full", "scratch"] = checked(
        "partial", choice("partial", "full", "scratch")
    )
    mix: float = checked(1.0, number(0, 1, "the weight of what was learned", closed=True))
    max_epochs: int | Literal["auto"] = checked("auto", _check_max_epochs)  # type: ignore[assignment]
    backbone_lr: float | None = 1e-3
    batch_size: int = checked(128, integer(2, "images in a step"))
    freeze_batchnorm: bool = False
    early_stopping: bool = False
    check_teacher: bool = True
    unlabeled: object = -1

    def fit(self, X: object, y: ArrayLike | None = None) -> DistilledFeatureTransformer:
        """Let the student learn from the teacher, by all images.

        A fit that fails, or is ended by Ctrl-C, leaves the estimator as it was. With a folder for `cache` and
        a seed, the training's state is kept there every few seconds until the fit has ended: one that is
        killed and started again goes on, to the same weights. Trainings with `callbacks`, `net_params` or
        `n_views` start anew.

        Parameters
        ----------
        X : images
            Any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
        y : array-like of shape (n_images,), optional
            Labels by which the teacher is checked, `unlabeled` where there is none.

        Returns
        -------
        DistilledFeatureTransformer
            The estimator itself.
        """
        from sktransfer.unlabelled.distil import enrol

        with restored_on_failure(self):
            check_parameters(self)
            images = self._images(X, reset=True)
            passes = n_passes(len(images)) if self.max_epochs == "auto" else self.max_epochs
            settings = training_settings(self, max_epochs=passes)
            seed = draw_seed(self.random_state)
            vectors = self._teacher_vectors(X)
            student = enrol(images, vectors, settings, seed)
            known = None
            if self.check_teacher:
                lost = np.union1d(
                    student.inputs.failed, np.flatnonzero(np.isnan(vectors).any(axis=1))
                )
                known = labelled_rows(y, self.unlabeled, (len(images), lost), seed)
            self.teacher_score_ = None if known is None else known.score(vectors[known.rows])
            self.student_score_ = _score(student, known)
            self._refuse_worse_teacher(0 if known is None else len(known.rows))
            with self._keeper(student) as keeper:
                history = student.learn(self.mix, keeper)
                self.distilled_score_ = _score(student, known)
                self._take_over(student, history)
        return self

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Name the columns, such as "layer4_avg_0".

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_features,), dtype object
        """
        check_is_fitted(self)
        trained = self._trained
        slots = resolve_slots(trained.loaded, None, trained.pooling, trained.preprocessing.crop)
        names = [f"{slot.layer}_{slot.pooling}_{i}" for slot in slots for i in range(slot.width)]
        return np.array(names, dtype=object)

    def _teacher_vectors(self, X: object) -> NDArray[np.float32]:
        """Compute the teacher's features, or find them; NaN for images that cannot be read."""
        if isinstance(self.teacher, DeepFeatureTransformer):
            teacher = clone(self.teacher)
        else:
            run: dict[str, Any] = {
                name: getattr(self, name)
                for name in (
                    "image_shape",
                    "device",
                    "precision",
                    "num_workers",
                    "cache",
                    "verbose",
                )
            }
            teacher = DeepFeatureTransformer(self.teacher, weights=self.teacher_weights, **run)
        on_error = "raise" if self.on_error == "raise" else "nan"  # the student warns
        vectors: NDArray[np.float32] = teacher.set_params(on_error=on_error).fit_transform(X)
        return vectors

    def _keeper(self, student: Student) -> AbstractContextManager[Unfinished | None]:
        """Return what lets a training that is killed go on; one without a seed could not be known again."""
        keeper = None if self.random_state is None else student.keeper()
        return nullcontext() if keeper is None else keeper

    def _refuse_worse_teacher(self, n_labelled: int) -> None:
        if self.teacher_score_ is None or self.student_score_ is None:
            return
        if self.teacher_score_ - self.student_score_ > BETTER_BY:
            return
        raise WorseTeacherError(
            f"the teacher's vectors are no better than the student's by more than {BETTER_BY}: accuracy "
            f"{self.teacher_score_:.3f} and {self.student_score_:.3f} over folds of {n_labelled} labelled "
            "images. The student would follow it. Choose another teacher, give it larger images by a "
            "DeepFeatureTransformer, or keep the student as it is; check_teacher=False goes on nevertheless."
        )

    def _take_over(self, student: Student, history: list[dict[str, Any]]) -> None:
        self._trained = student.trained
        self.history_ = history
        self.n_iter_ = len(history)
        self.failed_ = student.inputs.failed
        self.trunk_, self.trunk_reason_ = student.inputs.kind, student.inputs.reason


def _score(student: Student, known: LabelledRows | None) -> float | None:
    """Score the student's vectors as they are now, if there are labels to do so."""
    return None if known is None else known.score(student.vectors(known.rows))
