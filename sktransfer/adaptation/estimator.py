"""What the classifiers of domain adaptation share: from `fit` on two domains to predictions for either."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from sktransfer.adaptation.build import loaded_nothing
from sktransfer.adaptation.domains import (
    TARGET,
    as_labels,
    is_unlabeled,
    join_domains,
    refuse_in_search,
)
from sktransfer.adaptation.norms import set_statistics
from sktransfer.backbones.registry import get_backbone
from sktransfer.backbones.weights import load_backbone, random_backbone
from sktransfer.exceptions import ImageDecodeError
from sktransfer.images.validation import validate_images
from sktransfer.parameters import check_choice, check_integer
from sktransfer.training.losses import RowLoss
from sktransfer.training.serving import pooled_features
from sktransfer.training.settings import check_number
from sktransfer.training.targets import LabelCoder, class_weights, refuse_missing_y

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.adaptation.heads import AdaptationHead, TwoHeads
    from sktransfer.adaptation.nets import Objective
    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.training.portable_network import TrainedNetwork

__all__ = ["AdaptedClassifier"]


class AdaptedClassifier(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc] # sklearn is untyped
    TransformerMixin,  # type: ignore[misc]
    ClassifierMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Fits a network to a labelled source and an unlabelled target.

    A subclass has the parameters of `DANNClassifier` as far as they are shared, and the methods
    `_objective`, `_strength` and `_two_heads`.
    """

    # With metadata routing a search hands on the domains that its `fit` was given.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_domain": True}
    __metadata_request__predict: ClassVar[dict[str, Any]] = {
        "sample_domain": True,
        "allow_source": True,
    }
    __metadata_request__predict_proba = __metadata_request__predict
    __metadata_request__score = __metadata_request__predict
    __metadata_request__transform: ClassVar[dict[str, Any]] = {"sample_domain": True}

    def fit(
        self, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None, X_target: Any = None
    ) -> Any:
        """Train on the labels of the source, and bring the features of both domains together.

        Parameters
        ----------
        X : images, or array-like of shape (n_rows, n_features) if `backbone` is None
            Of both domains, or of the source alone if `X_target` is given.
        y : array-like of shape (n_rows,)
            Labels of the source. Where there is no `sample_domain`, rows labelled `unlabeled` are of
            the target.
        sample_domain : array-like of shape (n_rows,), dtype int, optional
            The domain of each row: 0 or more for sources, negative for targets. The labels of target
            rows are then not looked at.
        X_target : images, optional
            Of the target, beside `X`. Not possible inside a search, which could not split it.

        Returns
        -------
        object
            The estimator itself.
        """
        refuse_missing_y(y, type(self).__name__)
        refuse_in_search(X_target, type(self).__name__)
        from sktransfer.adaptation.training import run

        parameters = self._parameters()
        parts = self._parts(X, X_target)
        lengths = [len(part) for part in parts]
        domains = join_domains(y, sample_domain, lengths, unlabeled=self.unlabeled)
        coder = LabelCoder.of(domains.source_labels, None)
        n_rows = len(domains.source_labels)
        factors = class_weights(self.class_weight, coder, domains.source_labels, np.ones(n_rows))
        outcome = run(self, parameters, parts, domains, coder, factors)
        self._coder, self._trained = coder, outcome.trained
        self._source_statistics = outcome.source_statistics
        self._source_preprocessing = outcome.source_preprocessing
        self._made: dict[str, Any] = {}  # when it is needed, and again after a pickle
        self._net = outcome.net
        self.domains_ = domains.names
        self.failed_: list[int] = outcome.failed
        self.trunk_, self.trunk_reason_ = outcome.trunk
        self.history_: list[dict[str, Any]] = outcome.history
        self.n_iter_ = len(self.history_)
        return self

    def predict_proba(
        self,
        X: Any,
        sample_domain: ArrayLike | None = None,
        allow_source: bool = False,  # noqa: ARG002 - skada's scorers pass it
    ) -> NDArray[np.float64]:
        """Compute the probability of each class.

        Parameters
        ----------
        X : images
            Of any domain.
        sample_domain : array-like of shape (n_rows,), dtype int, optional
            The domain of each row. It plays a part where each domain is normalised by itself
            (``batch_norm="per_domain"`` or ``pixel_norm="per_domain"``): rows of a source, 0 or more,
            are then normalised as the source was. Without it all rows are taken for the target's.
        allow_source : bool, default=False
            Ignored; skada's scorers pass it.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), dtype float64
            Rows sum to one.
        """
        hidden = self._hidden(X, sample_domain)
        with torch.inference_mode():
            scores = self._head.label(torch.from_numpy(hidden)).numpy()
        return self._label_coder.probabilities(scores)

    def predict(
        self,
        X: Any,
        sample_domain: ArrayLike | None = None,
        allow_source: bool = False,
    ) -> NDArray[Any]:
        """Name the most probable class.

        Parameters
        ----------
        X, sample_domain, allow_source
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_rows,)
            Of the labels' own dtype; never `unlabeled`.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read, whatever `on_error` says, because no label stands for that.
        """
        probabilities = self.predict_proba(X, sample_domain, allow_source)
        unread = np.flatnonzero(np.isnan(probabilities).any(1))
        if len(unread):
            raise ImageDecodeError(
                f"image {unread[0]} of {len(probabilities)} cannot be read (of {len(unread)}), and "
                "no label stands for that. Leave it out, or call predict_proba, whose row is NaN."
            )
        return self._label_coder.decode(probabilities)

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
        allow_source: bool = False,
    ) -> float:
        """Compute the accuracy on the rows that have a label.

        Parameters
        ----------
        X, sample_domain, allow_source
            As in `predict_proba`.
        y : array-like of shape (n_rows,)
            Labels; rows labelled `unlabeled` are left out.
        sample_weight : array-like of shape (n_rows,), optional
            Of the rows.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        ValueError
            If no row has a label.
        """
        labels = as_labels(y)
        labelled = np.flatnonzero(~is_unlabeled(labels, self.unlabeled))
        if not len(labelled):
            raise ValueError(
                f"y has no label: all {len(labels)} rows are unlabeled={self.unlabeled!r}. Pass the "
                "true labels of some rows, or an UnsupervisedScorer as `scoring`."
            )
        check_consistent_length(X, labels)
        given = [
            None if values is None else np.asarray(values)[labelled]
            for values in (sample_weight, sample_domain)
        ]
        told = self.predict(_safe_indexing(X, labelled), given[1], allow_source)
        return float(np.average(labels[labelled] == told, weights=given[0]))

    def transform(self, X: Any, sample_domain: ArrayLike | None = None) -> NDArray[np.float32]:
        """Compute the adapted features, which both heads read.

        Parameters
        ----------
        X, sample_domain
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_rows, n_features), dtype float32
            Rows of images that cannot be read are NaN, unless `on_error` is "raise".
        """
        return self._hidden(X, sample_domain).astype(np.float32)

    @property
    def net_(self) -> Any:
        """The skorch net, whose `module_` maps inputs to scores of classes."""
        if not hasattr(self, "_trained"):
            raise AttributeError(f"{type(self).__name__} has no net_ before it is fitted.")
        if self._net is None:  # this is a copy or was unpickled
            from sktransfer.adaptation.training import net_for_use

            self._net = net_for_use(self, self._trained, RowLoss(self._coder.kind))
        return self._net

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted, without `unlabeled`."""
        if not hasattr(self, "_coder"):
            raise AttributeError(f"{type(self).__name__} has no classes_ before it is fitted.")
        return self._label_coder.classes

    @property
    def _label_coder(self) -> LabelCoder:
        coder: LabelCoder = self._coder
        return coder

    @property
    def _head(self) -> AdaptationHead:
        """The heads, in float64, so that a row's result does not depend on the rows beside it."""
        if "head" not in self._made:
            self._made["head"] = _in_float64(self._trained)
        head: AdaptationHead = self._made["head"]
        return head

    @property
    def _n_features_out(self) -> int:
        width: int = self._head.width
        return width

    def _objective(self) -> Objective:
        """Say what brings the domains together."""
        raise NotImplementedError

    def _strength(self) -> float:
        """Say how much it counts at the end."""
        raise NotImplementedError

    def _two_heads(self, n_domains: int) -> TwoHeads:
        """Describe the heads."""
        raise NotImplementedError

    def _parameters(self) -> SimpleNamespace:
        """Check what is not a matter of training, and gather all parameters."""
        if self.batch_norm is not None:
            check_choice("batch_norm", self.batch_norm, ("joint", "separate", "per_domain"))
        check_choice("pixel_norm", self.pixel_norm, ("weights", "per_domain"))
        check_number(
            "lambda_gamma", self.lambda_gamma, 0, 1e9, "how early lambda rises", closed=True
        )
        check_number(
            "entropy_weight", self.entropy_weight, 0, 1e9, "what certainty counts", closed=True
        )
        check_number("dropout", self.dropout, 0, 0.99, "what is left out", closed=True)
        check_number("label_smoothing", self.label_smoothing, 0, 1, "a probability", closed=True)
        if self.bottleneck is not None:
            check_integer("bottleneck", self.bottleneck, 1, "features that both heads read")
        return SimpleNamespace(**self.get_params(deep=False), mixup=0.0)

    def _parts(self, X: Any, X_target: Any) -> list[Any]:
        parts = [self._checked(X, reset=True)]
        return parts if X_target is None else [*parts, self._checked(X_target, reset=False)]

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """Return images, or a float32 array if there is no backbone."""
        if self.backbone is None:
            rows = validate_data(self, X, reset=reset, dtype=np.float64)
            return np.asarray(rows, dtype=np.float32)
        return validate_images(
            self,
            X,
            image_shape=self.image_shape,
            reset=reset,
            allow_nan=self.on_error != "raise",
        )

    def _load(self, seed: int) -> LoadedBackbone:
        if self.backbone is None:
            return loaded_nothing()
        if self.strategy == "scratch":
            return random_backbone(get_backbone(self.backbone), seed)
        return load_backbone(self.backbone, self.weights, random_state=seed)

    def _hidden(self, X: Any, sample_domain: Any) -> NDArray[np.float64]:
        """Compute what both heads read, in float64."""
        check_is_fitted(self)
        checked = self._checked(X, reset=False)
        hidden = np.empty((len(checked), self._n_features_out))
        of_source = np.zeros(len(checked), dtype=bool)
        if sample_domain is not None and self._tells_domains:
            check_consistent_length(checked, sample_domain)
            of_source = np.asarray(sample_domain) >= 0
        if of_source.any() and not of_source.all():
            for mask, number in ((of_source, 1), (~of_source, TARGET)):
                rows = np.flatnonzero(mask)
                hidden[rows] = self._hidden(_safe_indexing(X, rows), np.full(len(rows), number))
            return hidden
        trained = self._for_source() if of_source.any() else self._trained
        head = self._head if trained is self._trained else _in_float64(trained)
        features = checked if self.backbone is None else self._features(checked, trained)
        standardize = trained.network.standardize
        with torch.inference_mode():
            values = torch.from_numpy(features).double()
            values = (values - standardize.mean.cpu()) * standardize.inverse.cpu()
            hidden[:] = head.hidden(values).numpy()
        return hidden

    def _features(self, images: Any, trained: TrainedNetwork) -> NDArray[np.float32]:
        found = pooled_features(
            images, trained.loaded, trained.preprocessing, trained.pooling, self
        )
        self.failed_ = found.failed
        return found.features

    @property
    def _tells_domains(self) -> bool:
        return bool(self._source_statistics) or self._source_preprocessing is not None

    def _for_source(self) -> TrainedNetwork:
        """Make the network that normalises as the source needs it; the weights are the same."""
        if "source" not in self._made:
            from sktransfer.adaptation.training import with_network

            network = copy.deepcopy(self._trained.network).cpu()
            statistics = {
                path: (torch.from_numpy(mean), torch.from_numpy(var))
                for path, (mean, var) in self._source_statistics.items()
            }
            set_statistics(network, statistics)
            if self._source_preprocessing is not None:
                network.preprocessing = self._source_preprocessing
            self._made["source"] = with_network(self._trained, network)
        source: TrainedNetwork = self._made["source"]
        return source

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_net": None, "_made": {}} if "_made" in state else state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = self.backbone is not None
        tags.input_tags.string = self.backbone is not None
        tags.input_tags.allow_nan = self.on_error != "raise" and self.backbone is not None
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _in_float64(trained: TrainedNetwork) -> Any:
    """Copy the heads."""
    return copy.deepcopy(trained.network.head).cpu().double().eval()
