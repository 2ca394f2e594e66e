"""How a network is run: parameters that all estimators with a network share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sktransfer.features.device import PRECISIONS, Precision, resolve_workers
from sktransfer.parameters import checked, choice, integer, optional
from sktransfer.reference_page import ReferencePage

if TYPE_CHECKING:
    import os

    import torch

    from sktransfer.backbones.spec import BackboneLike
    from sktransfer.images import ImageShape

__all__ = ["NetworkParameters", "OnError", "RunParameters", "RunSettings"]

OnError: TypeAlias = Literal["raise", "warn", "nan"]


@dataclass(frozen=True)
class RunSettings:
    """How images are sent through a network.

    Parameters
    ----------
    device : str or torch.device
        Device that was asked for, perhaps "auto".
    precision : str
        Precision that was asked for, perhaps "auto".
    batch_size : int
        Largest number of images in a forward pass.
    n_workers : int
        Threads that read and decode; 0 means none but the calling one.
    cache : str, path or None
        Store of features: "memory", a folder, or none.
    on_error : {"raise", "warn", "nan"}
        Treatment of images that cannot be read.
    verbose : int
        Whether progress is shown.
    """

    device: str | torch.device
    precision: str
    batch_size: int
    n_workers: int
    cache: str | os.PathLike[str] | None
    on_error: str
    verbose: int


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkParameters:
    """Parameters of which network is run.

    Parameters
    ----------
    backbone : str, nn.Module, callable or BackboneSpec, default="resnet50"
        A name from :func:`~sktransfer.list_backbones`, "timm:NAME" if timm is installed, "tiny" for
        the small network that ships with the package, your own module, or a function that returns
        one.
    weights : str or path, default="default"
        "default" for the best that are published, another published name such as "IMAGENET1K_V2",
        the path of a .safetensors or .pth file, or "random".
    """

    backbone: BackboneLike = field(default="resnet50", kw_only=False)
    weights: str | os.PathLike[str] = "default"


@dataclass(kw_only=True, eq=False, repr=False)
class RunParameters(ReferencePage):
    """Parameters of how a network is run.

    Parameters
    ----------
    batch_size : int, default=32
        Largest number of images in a step. Batches of a pass have nearly equal sizes.
    image_shape : tuple of int, "row" or None, default=None
        Layout of flattened rows: (28, 28), (32, 32, 3) or (3, 32, 32). None takes each row for a
        square grey image, "row" for one row of pixels.
    image_size : int or None, default=None
        Side of the network's input in pixels; None is what the weights were trained with.
    device : str or torch.device, default="auto"
        "auto" is the first of CUDA, MPS and CPU that is there.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Number format of the network. Frozen stages and predictions are those of
        :class:`~sktransfer.DeepFeatureTransformer`. What trains computes in bfloat16 under autocast
        where the device has hardware for it, if this is "auto" and the network's features are the
        same in it, or "float16" (whose range is too small for gradients), and in float32 elsewhere;
        weights and head stay float32.
    num_workers : int or "auto", default="auto"
        Threads that read and decode images; 0 means none but the calling one.
    cache : "memory", path of a folder or None, default="memory"
        Place where the output of frozen stages is kept for other folds and fits, as in
        :class:`~sktransfer.DeepFeatureTransformer`. That of trained stages is kept in memory.
    on_error : {"raise", "warn", "nan"}, default="raise"
        Treatment of images that cannot be read: an error; or `fit` leaves them out, lists them in
        `failed_`, and `transform` gives a row of NaN, with a warning or without.
    random_state : int, RandomState or None, default=None
        Seed of everything random. Two fits with one int are equal on one machine; torch's own random
        numbers stay as they are.
    verbose : int, default=0
        1 shows a progress bar of frozen work and a line for each epoch.
    """

    batch_size: int = checked(32, integer(1, "images in a step"))
    image_shape: ImageShape = None
    image_size: int | None = checked(None, optional(integer(1, "the side of the input in pixels")))
    device: str | torch.device = "auto"
    precision: Precision = checked("auto", choice(*PRECISIONS))
    num_workers: int | str = "auto"
    cache: str | os.PathLike[str] | None = "memory"
    on_error: OnError = checked("raise", choice(*get_args(OnError)))
    random_state: object = None
    verbose: int = 0

    def run_settings(self) -> RunSettings:
        """Resolve the parameters of a run that have been checked."""
        return RunSettings(
            self.device,
            self.precision,
            self.batch_size,
            resolve_workers(self.num_workers),
            self.cache,
            self.on_error,
            self.verbose,
        )
