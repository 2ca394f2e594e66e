"""Domain adaptation: labelled source images, unlabelled target images, one model for both."""

from sktransfer.adaptation.aligned_classifier import DomainAlignedClassifier
from sktransfer.adaptation.dann import DANNClassifier
from sktransfer.adaptation.discrepancy import DeepCORALClassifier, MMDClassifier
from sktransfer.adaptation.distance import proxy_a_distance
from sktransfer.adaptation.scorers import UnsupervisedScorer

__all__ = [
    "DANNClassifier",
    "DeepCORALClassifier",
    "DomainAlignedClassifier",
    "MMDClassifier",
    "UnsupervisedScorer",
    "proxy_a_distance",
]
