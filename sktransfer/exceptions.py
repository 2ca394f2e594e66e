"""The tree of exceptions and warnings.

.. code-block:: text

    Exception
    └── SkTransferError
        ├── ImageError (ValueError)              an image cannot be used
        │   └── ImageDecodeError                 its file, bytes or array cannot be read
        ├── MaskError (ValueError)               a mask does not belong to its image, or is no mask
        ├── DeviceError (ValueError)             this machine has no such device
        ├── CacheError (OSError)                 the folder of a store cannot be used
        ├── UnknownBackboneError (ValueError)    no network of this name
        ├── UnknownLayerError (ValueError)       the network has no such layer
        ├── UnknownPoolingError (ValueError)     no such way of pooling
        ├── ExportError (ValueError)             a model cannot be written for use elsewhere
        ├── WeightsError (ValueError)            weights cannot be used
        │   ├── NoClassifierError                a classifier is asked for, and they hold none
        │   ├── WeightsMismatchError             they belong to another network, or have changed
        │   └── WeightsNotFoundError (FileNotFoundError)   they are neither here nor downloadable
        ├── WorseTeacherError (ValueError)       a network would learn from one that is no better
        └── TrainingError (RuntimeError)         training cannot go on
    KeyboardInterrupt
    └── ComparisonInterrupted                    a comparison was stopped, and holds what it had found
    UserWarning
    └── SkTransferWarning
        ├── ImageWarning                         an image is unreadable, left out, or looks wrong
        ├── CacheWarning                         a store cannot keep what was computed
        ├── DeviceWarning                        a computation runs otherwise than asked
        ├── WeightsWarning                       another network is used than would be best
        ├── TeacherWarning                       nothing tells whether a teacher is the better network
        └── TrainingWarning                      training ended otherwise than asked
            └── OneClassWarning                  one class swallows all

Every error also inherits the builtin that scikit-learn's users would catch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class SkTransferError(Exception):
    """The root of all errors raised on purpose by this package."""


class ImageError(SkTransferError, ValueError):
    """An image, or the whole of ``X``, cannot be used."""


class ImageDecodeError(ImageError):
    """One image cannot be read; `on_error` decides whether this stops the run.

    Parameters
    ----------
    fault : str
        Fault, its image and its remedy, without the full stop.
    advice : str, default=""
        Another remedy, where a parameter such as `on_error` allows it.
    """

    def __init__(self, fault: str, advice: str = "") -> None:
        super().__init__(fault, advice)
        self.fault = fault
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.fault}, or {self.advice}." if self.advice else f"{self.fault}."


class MaskError(SkTransferError, ValueError):
    """A mask of labels does not belong to its image, or holds no labels."""


class DeviceError(SkTransferError, ValueError):
    """The device asked for is not there."""


class CacheError(SkTransferError, OSError):
    """The folder of a store cannot be used."""


class UnknownBackboneError(SkTransferError, ValueError):
    """No backbone of this name is registered, or a network cannot be used as one."""


class UnknownLayerError(SkTransferError, ValueError):
    """The backbone has no layer of this name."""


class UnknownPoolingError(SkTransferError, ValueError):
    """The pooling is not one of those that exist."""


class ExportError(SkTransferError, ValueError):
    """A model cannot be exported, or what was exported does not do what the model does."""


class WeightsError(SkTransferError, ValueError):
    """Weights cannot be used."""


class NoClassifierError(WeightsError):
    """A method needs the classes that a network was trained for, and its weights hold none."""


class WeightsMismatchError(WeightsError):
    """Weights do not fit the network, or differ from those used before."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """Weights are neither on this machine nor downloadable."""


class WorseTeacherError(SkTransferError, ValueError):
    """The network to learn from is no better than the one that would learn."""


class TrainingError(SkTransferError, RuntimeError):
    """Training cannot go on, for example because the loss became NaN."""


class ComparisonInterrupted(KeyboardInterrupt):
    """A comparison was stopped by Ctrl-C.

    Parameters
    ----------
    results : DataFrame
        Table of the candidates that had been finished, as `StrategyComparison.results_`.
    """

    def __init__(self, results: pd.DataFrame) -> None:
        super().__init__(f"interrupted, with {len(results)} candidate(s) finished")
        self.results = results


class SkTransferWarning(UserWarning):
    """The root of all warnings of this package."""


class ImageWarning(SkTransferWarning):
    """An image became a row of NaN, a file was left out of a folder, or pixels look wrong."""


class CacheWarning(SkTransferWarning):
    """A store cannot keep what was computed; the result is right, but not kept."""


class DeviceWarning(SkTransferWarning):
    """A computation runs on another device or in smaller batches than asked."""


class WeightsWarning(SkTransferWarning):
    """The weights that a default stands for cannot be had, and another network is used."""


class TeacherWarning(SkTransferWarning):
    """Nothing tells whether the network to learn from is the better one."""


class TrainingWarning(SkTransferWarning):
    """Training ended otherwise than asked."""


class OneClassWarning(TrainingWarning):
    """What was trained on several classes answers with one of them everywhere."""
