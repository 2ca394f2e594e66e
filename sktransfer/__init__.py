"""Deep transfer learning on images for users of scikit-learn."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sktransfer import moved_modules

if TYPE_CHECKING:
    from sktransfer.adaptation import (
        DANNClassifier,
        DeepCORALClassifier,
        DomainAlignedClassifier,
        MMDClassifier,
        UnsupervisedScorer,
        proxy_a_distance,
    )
    from sktransfer.advice import Recommendation, recommend_strategy
    from sktransfer.audit import audit_images
    from sktransfer.backbones import BackboneSpec, list_backbones, register_backbone
    from sktransfer.comparison import StrategyComparison, compare_strategies
    from sktransfer.ensembles import layer_ensemble
    from sktransfer.export import (
        TRUSTED_TYPES,
        ExportReport,
        export_onnx,
        load_model,
        save_model,
    )
    from sktransfer.features import DeepFeatureTransformer
    from sktransfer.finetuning import FineTuneClassifier, FineTuneRegressor
    from sktransfer.inference.batch import batch_inference
    from sktransfer.inference.predictor import BatchPredictor
    from sktransfer.inference.run import InferenceRun
    from sktransfer.plotting import (
        DomainsDisplay,
        EmbeddingDisplay,
        FeatureLearningCurveDisplay,
        LayerSweepDisplay,
        SaliencyDisplay,
        SegmentationDisplay,
        StrategyComparisonDisplay,
    )
    from sktransfer.ranking import rank_backbones
    from sktransfer.saliency import SaliencyMaps, saliency_maps
    from sktransfer.segmentation import (
        FineTuneSegmenter,
        MaskScorer,
        PixelClassifier,
        find_regions,
    )
    from sktransfer.unlabelled import (
        DistilledFeatureTransformer,
        LabeledClassifier,
        LabeledFold,
        NeighborSelfTrainingClassifier,
        NeighborSmoother,
    )

__version__ = "0.1.0"

moved_modules.install()  # so that pickles of the first version load

__all__ = [  # noqa: RUF022 - sorted as `sorted` does
    "BackboneSpec",
    "BatchPredictor",
    "DANNClassifier",
    "DeepCORALClassifier",
    "DeepFeatureTransformer",
    "DistilledFeatureTransformer",
    "DomainAlignedClassifier",
    "DomainsDisplay",
    "EmbeddingDisplay",
    "ExportReport",
    "FeatureLearningCurveDisplay",
    "FineTuneClassifier",
    "FineTuneRegressor",
    "FineTuneSegmenter",
    "InferenceRun",
    "LabeledClassifier",
    "LabeledFold",
    "LayerSweepDisplay",
    "MMDClassifier",
    "MaskScorer",
    "NeighborSelfTrainingClassifier",
    "NeighborSmoother",
    "PixelClassifier",
    "Recommendation",
    "SaliencyDisplay",
    "SaliencyMaps",
    "SegmentationDisplay",
    "StrategyComparison",
    "StrategyComparisonDisplay",
    "TRUSTED_TYPES",
    "UnsupervisedScorer",
    "__version__",
    "audit_images",
    "batch_inference",
    "compare_strategies",
    "export_onnx",
    "find_regions",
    "layer_ensemble",
    "list_backbones",
    "load_model",
    "proxy_a_distance",
    "rank_backbones",
    "recommend_strategy",
    "register_backbone",
    "saliency_maps",
    "save_model",
]

# Where each name lives. Importing torch takes seconds, so it waits for the first use.
_HOMES = {
    "BackboneSpec": "sktransfer.backbones",
    "BatchPredictor": "sktransfer.inference.predictor",
    "DANNClassifier": "sktransfer.adaptation",
    "DeepCORALClassifier": "sktransfer.adaptation",
    "DeepFeatureTransformer": "sktransfer.features",
    "DistilledFeatureTransformer": "sktransfer.unlabelled",
    "DomainAlignedClassifier": "sktransfer.adaptation",
    "DomainsDisplay": "sktransfer.plotting",
    "EmbeddingDisplay": "sktransfer.plotting",
    "ExportReport": "sktransfer.export",
    "FeatureLearningCurveDisplay": "sktransfer.plotting",
    "FineTuneClassifier": "sktransfer.finetuning",
    "FineTuneRegressor": "sktransfer.finetuning",
    "FineTuneSegmenter": "sktransfer.segmentation",
    "InferenceRun": "sktransfer.inference.run",
    "LabeledClassifier": "sktransfer.unlabelled",
    "LabeledFold": "sktransfer.unlabelled",
    "LayerSweepDisplay": "sktransfer.plotting",
    "MMDClassifier": "sktransfer.adaptation",
    "MaskScorer": "sktransfer.segmentation",
    "NeighborSelfTrainingClassifier": "sktransfer.unlabelled",
    "NeighborSmoother": "sktransfer.unlabelled",
    "PixelClassifier": "sktransfer.segmentation",
    "Recommendation": "sktransfer.advice",
    "SaliencyDisplay": "sktransfer.plotting",
    "SaliencyMaps": "sktransfer.saliency",
    "SegmentationDisplay": "sktransfer.plotting",
    "StrategyComparison": "sktransfer.comparison",
    "StrategyComparisonDisplay": "sktransfer.plotting",
    "TRUSTED_TYPES": "sktransfer.export",
    "UnsupervisedScorer": "sktransfer.adaptation",
    "audit_images": "sktransfer.audit",
    "batch_inference": "sktransfer.inference.batch",
    "compare_strategies": "sktransfer.comparison",
    "export_onnx": "sktransfer.export",
    "find_regions": "sktransfer.segmentation",
    "layer_ensemble": "sktransfer.ensembles",
    "list_backbones": "sktransfer.backbones",
    "load_model": "sktransfer.export",
    "proxy_a_distance": "sktransfer.adaptation",
    "rank_backbones": "sktransfer.ranking",
    "recommend_strategy": "sktransfer.advice",
    "register_backbone": "sktransfer.backbones",
    "saliency_maps": "sktransfer.saliency",
    "save_model": "sktransfer.export",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
