"""What the classifiers of domain adaptation share: from `fit` on two domains to predictions for either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from sktransfer.adaptation.build import loaded_nothing, without_backbone
from sktransfer.adaptation.choosing import choose
from sktransfer.adaptation.domain_pixels import refuse_frozen_stages
from sktransfer.adaptation.domain_rows import domain_rows, inputs_of_numbers, inputs_of_parts
from sktransfer.adaptation.domains import TARGET, join_domains
from sktransfer.adaptation.heads import TwoHeads
from sktransfer.adaptation.parameters import AdaptationParameters
from sktransfer.adaptation.serving import (
    head_in_float64,
    hidden_values,
    network_of_source,
    refuse_unread,
)
from sktransfer.adaptation.settings import AdaptationSettings
from sktransfer.adaptation.unlabeled_scoring import warn_of_unlabeled_in_scorer
from sktransfer.features.plan import input_preprocessing
from sktransfer.images.indexing import take
from sktransfer.images.validation import validate_images
from sktransfer.labels import check_lengths, labelled_rows
from sktransfer.parameters import check_parameters
from sktransfer.randomness import draw_seed
from sktransfer.training.atomic_fit import restored_on_failure
from sktransfer.training.build import load
from sktransfer.training.serving import pooled_features
from sktransfer.training.settings import training_settings
from sktransfer.training.targets import class_target, class_weights, refuse_missing_y

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Tags

    from sktransfer.adaptation.alignments import Alignment
    from sktransfer.adaptation.choosing import Choices
    from sktransfer.adaptation.heads import AdaptationHead
    from sktransfer.training.portable_network import TrainedNetwork

__all__ = ["AdaptedClassifier"]


@dataclass(kw_only=True, eq=False, repr=False)
class AdaptedClassifier(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc] # sklearn is untyped
    TransformerMixin,  # type: ignore[misc]
    ClassifierMixin,  # type: ignore[misc]
    AdaptationParameters,
    BaseEstimator,  # type: ignore[misc]
):
    """Fits a network to a labelled source and an unlabelled target; a subclass aligns them."""

    # With metadata routing a search hands on the domains that its `fit` was given.
    __metadata_request__fit: ClassVar[dict[str, object]] = {"sample_domain": True}
    __metadata_request__predict: ClassVar[dict[str, object]] = {
        "sample_domain": True,
        "allow_source": True,
    }
    __metadata_request__predict_proba = __metadata_request__predict
    __metadata_request__score = __metadata_request__predict
    __metadata_request__transform: ClassVar[dict[str, object]] = {"sample_domain": True}

    def fit(
        self,
        X: object,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        X_target: object = None,
    ) -> object:
        """Train on the labels of the source, and bring the features of both domains together.

        Parameters
        ----------
        X : images, or array-like of shape (n_rows, n_features) if `backbone` is None
            Rows of both domains, or of the source alone if `X_target` is given.
        y : array-like of shape (n_rows,)
            Labels of the source. Where there is no `sample_domain`, rows labelled `unlabeled` are of
            the target.
        sample_domain : array-like of shape (n_rows,), dtype int, optional
            The domain of each row: 0 or more for sources, negative for targets. The labels of target
            rows are then not looked at.
        X_target : images, optional
            Images of the target, beside `X`. A search or cross-validation could not split them along
            with `X`: there, mark rows of the target by `y`, or pass `sample_domain`.

        Returns
        -------
        object
            The estimator itself.
        """
        with restored_on_failure(self):
            return self._fit(X, y, sample_domain, X_target)

    def predict_proba(
        self,
        X: object,
        sample_domain: ArrayLike | None = None,
        allow_source: bool = False,  # noqa: ARG002 - skada's scorers pass it
    ) -> NDArray[np.float64]:
        """Compute the probability of each class.

        Parameters
        ----------
        X : images
            Images of any domain.
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
        return self._coder.probabilities(scores)

    def predict(
        self,
        X: object,
        sample_domain: ArrayLike | None = None,
        allow_source: bool = False,  # noqa: ARG002 - skada's scorers pass it
    ) -> NDArray[np.generic]:
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
        warn_of_unlabeled_in_scorer(self)
        return self._labels(X, sample_domain)

    def score(
        self,
        X: object,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
        allow_source: bool = False,  # noqa: ARG002 - skada's scorers pass it
    ) -> float:
        """Compute the accuracy on the rows that have a label.

        Parameters
        ----------
        X, sample_domain, allow_source
            As in `predict_proba`.
        y : array-like of shape (n_rows,)
            Labels; rows labelled `unlabeled` are left out.
        sample_weight : array-like of shape (n_rows,), optional
            Per-sample weight.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        ValueError
            If no row has a label.
        """
        labels, labelled = labelled_rows(y, self.unlabeled, "an UnsupervisedScorer as `scoring`")
        check_lengths(X=X, y=labels)
        of_rows = [
            None if values is None else np.asarray(values)[labelled]
            for values in (sample_weight, sample_domain)
        ]
        predicted = self._labels(take(X, labelled), of_rows[1])
        return float(np.average(labels[labelled] == predicted, weights=of_rows[0]))

    def transform(self, X: object, sample_domain: ArrayLike | None = None) -> NDArray[np.float32]:
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
    def net_(self) -> object:
        """The skorch net, whose `module_` maps inputs to scores of classes."""
        if not hasattr(self, "_trained"):
            raise AttributeError(f"{type(self).__name__} has no net_ before it is fitted.")
        net: object = vars(self).get("_net")
        if net is None:  # this is a copy or was unpickled
            from sktransfer.adaptation.loop import net_of

            net = self._net = net_of(self._trained.network, self._coder, self.device)
        return net

    @property
    def classes_(self) -> NDArray[np.generic]:
        """The labels, sorted, without `unlabeled`."""
        if not hasattr(self, "_coder"):
            raise AttributeError(f"{type(self).__name__} has no classes_ before it is fitted.")
        return self._coder.classes

    @property
    def _head(self) -> AdaptationHead:
        """The heads, in float64, so that a row's result does not depend on the rows beside it."""
        if "head" not in self._made:
            self._made["head"] = head_in_float64(self._trained)
        return cast("AdaptationHead", self._made["head"])

    @property
    def _n_features_out(self) -> int:
        return int(self._head.width)

    def _alignment(self) -> Alignment:
        """Return what brings the domains together."""
        raise NotImplementedError

    def _two_heads(self, n_domains: int) -> TwoHeads:
        """Describe the heads."""
        with_norm = self.batch_norm is not None
        return TwoHeads(
            self.head, self.bottleneck, self.dropout, None, n_domains, batch_norm=with_norm
        )

    def _fit(
        self, X: object, y: object, sample_domain: object, X_target: object
    ) -> AdaptedClassifier:
        check_parameters(self)
        refuse_missing_y(y, type(self).__name__)
        is_new = self.backbone is None or (self.strategy == "auto" and self.weights == "random")
        settings = training_settings(self, backbone_is_new=is_new or None)
        parts = self._parts(X, X_target)
        domains = join_domains(y, sample_domain, [*map(len, parts)], unlabeled=self.unlabeled)
        labels = domains.source_labels
        target = class_target(labels, None, float(self.label_smoothing))
        factors = class_weights(self.class_weight, target, labels, np.ones(len(labels)))
        seed = draw_seed(self.random_state)
        if self.backbone is None:
            choices, backbones = choose(self, None), None
            settings, loaded = without_backbone(settings), loaded_nothing()
            preprocessing, inputs = loaded.preprocessing, inputs_of_numbers(parts)
        else:
            loaded = load(settings.network, seed)
            choices = choose(self, loaded)
            settings = settings.with_strategy(choices.strategy)
            preprocessing = input_preprocessing(
                loaded.preprocessing, self.image_size, self.image_shape, loaded.spec.patch
            )
            inputs, backbones = inputs_of_parts(
                parts, domains.is_source, loaded, preprocessing, settings, choices.batch_norm, seed
            )
            if self.pixel_norm == "per_domain":
                refuse_frozen_stages(settings.network, loaded.spec, inputs.kind)
        rows, valid = domain_rows(inputs, domains, target, factors, settings.held_out, seed)
        heads = self._two_heads(len(domains.names))
        from sktransfer.adaptation.train import DomainData, adapt

        outcome = adapt(
            DomainData(inputs, rows, valid, backbones), loaded, preprocessing, target, settings,
            self._adaptation_settings(heads, choices), seed,
        )  # fmt: skip
        self._coder, self._trained = target, outcome.trained
        self._source_statistics = outcome.source_statistics
        self._source_preprocessing = outcome.source_preprocessing
        self._made: dict[str, object] = {}  # when it is needed, and again after a pickle
        self._net = outcome.net
        self._marks_by_label = sample_domain is None and X_target is None
        self.domains_ = domains.names
        self.failed_ = inputs.failed
        self.strategy_, self.strategy_reason_ = choices.strategy, choices.reason
        self.trunk_, self.trunk_reason_ = inputs.kind, inputs.reason
        self.history_, self.n_iter_ = outcome.history, len(outcome.history)
        return self

    def _adaptation_settings(self, heads: TwoHeads, choices: Choices) -> AdaptationSettings:
        return AdaptationSettings(
            self._alignment(),
            heads,
            float(self.lambda_max),
            float(self.lambda_gamma),
            choices.entropy_weight,
            choices.diversity_weight,
            choices.batch_norm or "joint",
            self.pixel_norm == "per_domain" and self.backbone is not None,
        )

    def _parts(self, X: object, X_target: object) -> list[Any]:
        parts = [self._checked(X, reset=True)]
        return parts if X_target is None else [*parts, self._checked(X_target, reset=False)]

    def _checked(self, X: object, *, reset: bool) -> Any:
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

    def _labels(self, X: Any, sample_domain: Any) -> NDArray[np.generic]:
        """Predict labels; an image that cannot be read has none."""
        probabilities = self.predict_proba(X, sample_domain)
        advice = "no label stands for that. Leave it out, or call predict_proba, whose row is NaN"
        refuse_unread(probabilities, advice)
        return self._coder.labels(probabilities)

    def _hidden(self, X: object, sample_domain: object) -> NDArray[np.float64]:
        """Compute what both heads read, in float64."""
        check_is_fitted(self)
        checked = self._checked(X, reset=False)
        hidden = np.empty((len(checked), self._n_features_out))
        of_source = np.zeros(len(checked), dtype=bool)
        if sample_domain is not None and self._tells_domains:
            check_lengths(X=checked, sample_domain=sample_domain)
            of_source = np.asarray(sample_domain) >= 0
        if of_source.any() and not of_source.all():
            for mask, number in ((of_source, 1), (~of_source, TARGET)):
                rows = np.flatnonzero(mask)
                hidden[rows] = self._hidden(take(X, rows), np.full(len(rows), number))
            return hidden
        trained = self._for_source() if of_source.any() else self._trained
        head = self._head if trained is self._trained else head_in_float64(trained)
        features = checked if self.backbone is None else self._features(checked, trained)
        return hidden_values(trained, head, features)

    def _features(self, images: Any, trained: TrainedNetwork) -> NDArray[np.float32]:
        found = pooled_features(
            images, trained.loaded, trained.preprocessing, trained.pooling, self.run_settings()
        )
        self.failed_ = found.failed
        return found.features

    @property
    def _tells_domains(self) -> bool:
        return bool(self._source_statistics) or self._source_preprocessing is not None

    def _for_source(self) -> TrainedNetwork:
        """Make the network that normalises as the source needs it; the weights are the same."""
        if "source" not in self._made:
            self._made["source"] = network_of_source(
                self._trained, self._source_statistics, self._source_preprocessing
            )
        return cast("TrainedNetwork", self._made["source"])

    def __sklearn_clone__(self) -> object:
        copied = super().__sklearn_clone__()
        copied._is_copy = True
        return copied

    def __getstate__(self) -> dict[str, object]:
        state: dict[str, object] = super().__getstate__()
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
