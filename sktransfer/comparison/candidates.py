"""The candidates of a comparison: estimators of images, each with the grid to search in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktransfer.adaptation import DANNClassifier, DomainAlignedClassifier
from sktransfer.adaptation.target_rows import learns_from_unlabelled
from sktransfer.features.transformer import DeepFeatureTransformer
from sktransfer.finetuning import FineTuneClassifier
from sktransfer.parameters import check_integer
from sktransfer.raw_pixels import PixelTransformer
from sktransfer.segmentation import FineTuneSegmenter, PixelClassifier
from sktransfer.unlabelled import DistilledFeatureTransformer

if TYPE_CHECKING:
    import os

    import torch

    from sktransfer.features.pooling import PoolingName
    from sktransfer.images import ImageShape

__all__ = ["Candidate", "check_candidates", "strategy_candidates", "strategy_of", "student_of"]


_ALIGNED: Final = {
    "standardized domains + logistic regression": "standardize",
    "CORAL + logistic regression": "coral",
    "subspaces + logistic regression": "subspaces",
    "transport + logistic regression": "optimal_transport",
}
"""Classifiers of vectors of two domains, by their methods: the simple alternatives to an adaptation."""


class Candidate(NamedTuple):
    """An estimator of images and the grid of parameters to search in it.

    Examples
    --------
    >>> from sktransfer.comparison import Candidate
    >>> from sktransfer.raw_pixels import PixelTransformer
    >>> pipeline = Pipeline([("pixels", PixelTransformer(8)), ("head", SVC())])
    >>> Candidate(pipeline, {"head__C": [1, 10]}).param_grid
    {'head__C': [1, 10]}
    """

    estimator: Any
    """A Pipeline or a classifier that takes images; never fitted itself, only its clones are."""
    param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]] = {}
    """As in GridSearchCV; the empty mapping scores the estimator as it is. Never written to."""


def strategy_candidates(
    backbone: Any = "resnet50",
    *,
    weights: str | os.PathLike[str] = "default",
    layers: Sequence[Any] | None = None,
    poolings: Sequence[PoolingName] = ("avg", "max"),
    pixel_size: int = 32,
    max_epochs: int = 20,
    image_shape: ImageShape = None,
    image_size: int | None = None,
    device: str | torch.device = "auto",
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = "memory",
    random_state: int | None = 0,
    has_target: bool = False,
) -> dict[str, Candidate]:
    """Make the candidates of :func:`compare_strategies`, to choose from, change or add to.

    Parameters
    ----------
    backbone, weights, image_shape, image_size, device, batch_size, cache, random_state
        As in :class:`~sktransfer.DeepFeatureTransformer`.
    layers : sequence or None, default=None
        The choices to search, each a value for the transformer's `layers`: a name, a negative int
        counted from the end, or a list of these to concatenate. None searches the last stage, the
        one before it, and both together: ``[-1, -2, [-2, -1]]``.
    poolings : sequence of str, default=("avg", "max")
        The choices to search, each a value for the transformer's `pooling`.
    pixel_size : int, default=32
        Side of the images of the raw pixels, in pixels.
    max_epochs : int, default=20
        Passes over the images of everything that is trained by gradients; the same for all, and
        each may stop earlier, when a held-back tenth of the training part gets no better.
    has_target : bool, default=False
        Whether there are images of a target domain, for "DANN" to learn from, and for its simple
        alternatives on stored vectors; "transport + logistic regression" where POT is installed.

    Returns
    -------
    dict of str to Candidate

    Examples
    --------
    >>> list(strategy_candidates("tiny"))[:2]
    ['raw pixels + logistic regression', 'features + logistic regression']
    """
    check_integer("pixel_size", pixel_size, 1, "the side of the images of raw pixels")
    check_integer("max_epochs", max_epochs, 1, "passes over the images")
    network = {
        "backbone": backbone,
        "weights": weights,
        "image_shape": image_shape,
        "image_size": image_size,
        "device": device,
        "batch_size": batch_size,
        "cache": cache,
        "random_state": random_state,
    }
    features = DeepFeatureTransformer(**network)
    grid = {
        "features__layers": check_choices(
            "layers", [-1, -2, [-2, -1]] if layers is None else layers
        ),
        "features__pooling": check_choices("poolings", poolings),
    }
    pixels = PixelTransformer(pixel_size, image_shape=image_shape)
    logistic = LogisticRegression(max_iter=2000)
    forest = RandomForestClassifier(random_state=random_state)
    rates = {"lr": [0.001, 0.01]}
    candidates = {
        "raw pixels + logistic regression": Candidate(
            _scaled("pixels", pixels, logistic), {"head__C": [0.0001, 0.001, 0.01]}
        ),
        "features + logistic regression": Candidate(
            _scaled("features", features, logistic), {**grid, "head__C": [0.001, 0.01, 0.1]}
        ),
        "features + SVM": Candidate(
            _scaled("features", features, SVC()), {**grid, "head__C": [1, 10]}
        ),
        "features + random forest": Candidate(
            Pipeline([("features", clone(features)), ("head", forest)]),
            {**grid, "head__min_samples_leaf": [1, 3]},
        ),
        **{
            strategy: Candidate(
                FineTuneClassifier(strategy=strategy, max_epochs=max_epochs, **network),
                rates,
            )
            for strategy in ("frozen", "partial", "full", "scratch")
        },
    }
    if has_target:
        candidates |= {
            name: Candidate(
                Pipeline(
                    [
                        ("features", clone(features)),
                        ("head", DomainAlignedClassifier(clone(logistic), method=method)),
                    ]
                )
            )
            for name, method in _ALIGNED.items()
            if method != "optimal_transport" or find_spec("ot") is not None
        }
        candidates["DANN"] = Candidate(DANNClassifier(max_epochs=max_epochs, **network), rates)
    return candidates


def check_candidates(
    candidates: Mapping[str, Any] | Sequence[str] | None, presets: Mapping[str, Candidate]
) -> dict[str, Candidate]:
    """Take the user's own candidates, or choose from the ready-made ones by name.

    Raises
    ------
    TypeError
        If a candidate is neither an estimator nor a pair of an estimator and a grid.
    ValueError
        If there is none, or a name is unknown.
    """
    if candidates is None:
        return dict(presets)
    names = check_choices("candidates", candidates)
    if isinstance(candidates, Mapping):
        own = {str(name): _as_candidate(name, given) for name, given in candidates.items()}
        for name, candidate in own.items():
            _refuse_unknown_settings(name, candidate)
        return own
    for name in names:
        if name not in presets:
            raise ValueError(
                f"candidates={names!r} names {name!r}, which is none of the ready-made ones. Choose "
                f"from {', '.join(map(repr, presets))}; 'DANN' needs images of a target, `X_target`, and "
                "what learns from images without labels needs these, `X_unlabeled`. Or pass a dict of "
                "your own: a name to a pair of an estimator and a grid."
            )
    return {name: presets[name] for name in names}


def check_choices(name: str, choices: Any) -> list[Any]:
    """Refuse a lone string, which is a sequence too, and nothing at all."""
    if isinstance(choices, str):
        raise TypeError(
            f"{name}={choices!r} must be a list of the choices to search. "
            f"Pass {name}=[{choices!r}]."
        )
    if not len(choices):
        raise ValueError(f"{name}={choices!r} is empty; give at least one to search.")
    return list(choices)


def strategy_of(estimator: Any) -> str:
    """Name the strategy of transfer that an estimator follows.

    Returns
    -------
    str
        "adaptation" if it takes unlabelled images of a target, "unlabelled" if it takes others, and
        "distilled" if it learns from a better network by them; the `strategy` of one that is fine-tuned;
        "features" or "raw pixels" for a pipeline that begins with these; otherwise "other".

    Examples
    --------
    >>> strategy_of(Pipeline([("features", DeepFeatureTransformer()), ("head", SVC())]))
    'features'
    """
    if learns_from_unlabelled(estimator) and student_of(estimator) is not None:
        return "distilled"
    parts = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    for part in reversed(parts):
        if isinstance(part, PixelClassifier):
            return "raw pixels" if part.backbone is None else "features"
        if hasattr(part, "unlabeled") and not isinstance(part, FineTuneSegmenter):
            return "unlabelled" if learns_from_unlabelled(part) else "adaptation"
        if isinstance(strategy := getattr(part, "strategy", None), str) and hasattr(
            part, "backbone"
        ):
            return strategy
        if isinstance(part, DeepFeatureTransformer):
            return "features"
        if isinstance(part, PixelTransformer):
            return "raw pixels"
    return "other"


def student_of(estimator: Any) -> DistilledFeatureTransformer | None:
    """Find the network in an estimator that learns from a better one; None if there is none."""
    values = [estimator, *estimator.get_params(deep=True).values()]
    return next((value for value in values if isinstance(value, DistilledFeatureTransformer)), None)


def _as_candidate(name: Any, given: Any) -> Candidate:
    if isinstance(given, BaseEstimator):
        return Candidate(given)
    if (
        isinstance(given, tuple)
        and len(given) == 2
        and isinstance(given[0], BaseEstimator)
        and isinstance(given[1], Mapping | list)
    ):
        return Candidate(*given)
    raise TypeError(
        f"candidates[{name!r}]={given!r} must be an estimator, or a pair of an estimator and a dict "
        "with the grid to search in it."
    )


def _refuse_unknown_settings(name: str, candidate: Candidate) -> None:
    """Refuse a grid whose parameters the estimator does not have before anything is fitted."""
    own = clone(candidate.estimator)
    try:
        for setting in ParameterGrid(candidate.param_grid):
            own.set_params(
                **{
                    key: clone(of) if hasattr(of, "get_params") else of
                    for key, of in setting.items()
                }
            )
    except ValueError as exc:
        raise ValueError(f"the grid of candidates[{name!r}]: {exc}") from None


def _scaled(name: str, features: Any, head: Any) -> Pipeline:
    return Pipeline([(name, clone(features)), ("scale", StandardScaler()), ("head", clone(head))])
