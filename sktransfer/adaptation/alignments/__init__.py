"""Alignments: what brings the features of two domains together, one way a file."""

from sktransfer.adaptation.alignments.alignment import AlignedBatch, Alignment
from sktransfer.adaptation.alignments.alternating import Alternating
from sktransfer.adaptation.alignments.coral import Coral
from sktransfer.adaptation.alignments.mmd import MMD
from sktransfer.adaptation.alignments.reversal import Reversal

__all__ = ["MMD", "AlignedBatch", "Alignment", "Alternating", "Coral", "Reversal"]
