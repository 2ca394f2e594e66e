"""The types that a file of a model may hold: a constant, which no file can widen."""

from __future__ import annotations

from typing import Final

__all__ = ["TRUSTED_TYPES"]

_OURS = (
    "adaptation.aligned_classifier.DomainAlignedClassifier",
    "adaptation.dann.DANNClassifier",
    "adaptation.discrepancy.DeepCORALClassifier",
    "adaptation.discrepancy.MMDClassifier",
    "adaptation.heads.TwoHeads",
    "adaptation.vector_maps.Affine",
    "adaptation.vector_maps.Displacement",
    "adaptation.vector_maps.VectorMaps",
    "features.plan.FeaturePlan",
    "features.plan.Slot",
    "features.transformer.DeepFeatureTransformer",
    "finetuning.classifier.FineTuneClassifier",
    "finetuning.regressor.FineTuneRegressor",
    "preprocessing.Preprocessing",
    "raw_pixels.PixelTransformer",
    "segmentation.grids.Grid",
    "segmentation.pixel_classifier.PixelClassifier",
    "segmentation.segmenter.FineTuneSegmenter",
    "training.portable_network.TrainedNetwork",
    "training.targets.classes.BinaryTarget",
    "training.targets.classes.MulticlassTarget",
    "training.targets.continuous.ContinuousTarget",
    "training.targets.multilabel.MultilabelTarget",
    "training.warm_start.Origin",
    "unlabelled.folds.LabeledFold",
    "unlabelled.labelled_classifier.LabeledClassifier",
    "unlabelled.self_training.NeighborSelfTrainingClassifier",
    "unlabelled.smoothing.NeighborSmoother",
    "unlabelled.square_root.SquareRootTransformer",
)

# What skops does not trust by itself and that fitted models of scikit-learn hold; none of them
# reads or writes files, imports anything, or calls what it is given when it is built.
_OTHERS = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.utils._bunch.Bunch",
)

TRUSTED_TYPES: Final[tuple[str, ...]] = (*(f"sktransfer.{name}" for name in _OURS), *_OTHERS)
"""Types that `load_model` builds, beside those of scikit-learn, numpy and Python that skops trusts."""
