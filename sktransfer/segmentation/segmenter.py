"""`FineTuneSegmenter`: a pre-trained network and a decoder, trained to label every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from sklearn.utils.validation import check_is_fitted

from sktransfer.backbones.registry import get_backbone
from sktransfer.docstrings import documented
from sktransfer.features.device import resolve_device
from sktransfer.parameters import check_choice, checked, number
from sktransfer.randomness import RandomStream, draw_seed, seeded
from sktransfer.segmentation.build import measure, new_network, pyramid
from sktransfer.segmentation.coarse_scores import CoarseScores
from sktransfer.segmentation.decoders import check_decoder, make_decoder
from sktransfer.segmentation.estimator import MaskEstimator
from sktransfer.segmentation.frozen_maps import FrozenMaps
from sktransfer.segmentation.grids import Grid, layer_grids, resample
from sktransfer.segmentation.mask_batches import JointJitter, MaskBatches, UsersAugmentation
from sktransfer.segmentation.mask_labels import class_weights
from sktransfer.segmentation.mask_rows import read_rows
from sktransfer.segmentation.network import SegmentationNetwork
from sktransfer.segmentation.reading import read_images
from sktransfer.segmentation.serving import MaskServer
from sktransfer.segmentation.swallowing import most_mixed, warn_if_one_swallows_all
from sktransfer.segmentation.whole_images import resized
from sktransfer.training.augmentation import resolve_augmentation
from sktransfer.training.build import load
from sktransfer.training.freezing import first_trained_stage
from sktransfer.training.hold_out import hold_out
from sktransfer.training.network import can_resume
from sktransfer.training.parameters import LoopParameters
from sktransfer.training.settings import training_settings
from sktransfer.training.targets.masks import LOSSES, MaskTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from sktransfer.backbones.weights import LoadedBackbone
    from sktransfer.images.sequences import ImageSequence
    from sktransfer.segmentation.mask_labels import MaskLabels
    from sktransfer.segmentation.mask_rows import MaskRows
    from sktransfer.segmentation.masks import MaskSequence
    from sktransfer.training.settings import TrainingSettings

__all__ = ["FineTuneSegmenter", "place_scores"]

_STEP = 4  # pixels from one label of the loss to the next; finer where a head is
_CROP = 256


def _check_loss(name: str, value: object) -> None:
    if not callable(value):
        check_choice(name, value, LOSSES)


def place_scores(scores: Tensor, size: tuple[int, int], *, grid: Grid, step: int) -> Tensor:
    """Sample scores at every `step`-th pixel."""
    return resample(scores, grid, Grid(float(step)), size)


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class FineTuneSegmenter(MaskEstimator, LoopParameters):
    """Train a decoder, and part or all of a pre-trained network, to label every pixel of images.

    The whole image goes through the network, in whatever size. Frozen stages run once an image, and
    the epochs train on the maps that they gave.

    Parameters
    ----------
    head : {"fcn32s", "fcn16s", "fcn8s", "deconv", "fpn", "unet"} or callable, default="fpn"
        Decoder: linear scores of the last one, two or three strides; one transposed convolution for
        each halving of the network; a feature pyramid; skips that are joined and convolved; or a
        function (widths, strides, out_features) that returns a module on the list of maps.
    loss : {"auto", "ce", "dice", "focal", "lovasz"} or callable, default="auto"
        "auto" is cross-entropy plus Dice. A callable takes scores (batch, classes, height, width),
        codes (batch, height, width), and weights of pixels, 0 where nothing counts.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the cross-entropy; "balanced" gives all the same total.
    label_smoothing : float, default=0.0
        Part of the probability that is spread over all classes while training.
    n_views : None, default=None
        Number of views that are kept; with masks, whose views are new in each epoch, only None.
    augmentation : {"auto", "light", "strong"}, None or callable, default="auto"
        "light" zooms, crops to at most 256 pixels, mirrors and recolours, "strong" does more of it;
        masks move with their images. "auto" is none where stages are frozen. A callable takes an
        image and its mask, as transforms of ``torchvision.transforms.v2`` do, and returns both.

    Attributes
    ----------
    history_ : list of dict
        Records of the epochs; valid_score is the mean IoU.
    n_iter_ : int
        Number of epochs that were run.
    n_validation_ : int
        Number of images that were held back.
    trunk_ : {"maps", "pixels"}
        Input of the epochs.

    See Also
    --------
    PixelClassifier : A classifier of scikit-learn on features of pixels; trains in seconds.
    MaskScorer : Scores of masks.
    SegmentationDisplay : Draws predicted masks.

    Examples
    --------
    >>> from sktransfer.datasets import load_digit_masks
    >>> data = load_digit_masks()
    >>> model = FineTuneSegmenter("tiny", strategy="frozen", max_epochs=1, random_state=0)
    >>> model.fit(data.X[:16], data.y[:16]).predict(data.X[:2]).shape
    (2, 64, 64)
    """

    head: Any = checked("fpn", check_decoder)
    loss: Any = checked("auto", _check_loss)
    class_weight: dict[Any, float] | str | None = None
    label_smoothing: float = checked(0.0, number(0, 1, "a probability", closed=True))

    def _scores(self, X: object) -> Iterator[CoarseScores]:
        check_is_fitted(self)
        server = self._ready_server()
        grid = self._trained_network().head.grid
        for some in read_images(self._images(X, reset=False), self.run_settings()):
            shown = [resized(pixels, self.image_size) for pixels in some]
            for pixels, small, scores in zip(some, shown, server.scores(shown), strict=True):
                height, width = pixels.shape[:2]
                scale = (small.shape[0] / height, small.shape[1] / width)
                yield CoarseScores([(scores, grid)], (height, width), scale)

    def _fit(
        self, images: ImageSequence, masks: MaskSequence, weights: NDArray[np.float64]
    ) -> None:
        if self.n_views is not None:
            raise ValueError(
                f"n_views={self.n_views!r} is not possible with masks: each epoch makes new views of "
                "an image and its mask. Leave it None."
            )
        settings = training_settings(self)
        seed = draw_seed(self.random_state)
        loaded = load(settings.network, seed)
        stages, grids = pyramid(loaded, self.head)
        first = first_trained_stage(self.strategy, self.n_trainable, loaded.spec)
        augments = resolve_augmentation(self.augmentation, trunk_is_frozen=first > 0) is not None
        stored = first > 0 and not augments and can_resume(loaded.spec)
        network = new_network(loaded, settings, self.head, (stages, grids, first), (2, seed))
        step = _step(network.head.grid)
        maps = FrozenMaps(loaded, network.stored_stages, settings.run) if stored else None
        rows, labels, self.failed_ = read_rows(
            images,
            masks,
            weights,
            self.unlabeled,
            image_size=self.image_size,
            step=1 if augments else step,
            maps=maps,
            run=self.run_settings(),
        )
        network = new_network(
            loaded, settings, self.head, (stages, grids, first), (len(labels.classes), seed)
        )
        kept, held = hold_out(np.zeros(len(rows)), settings.held_out, seed)
        valid = rows.subset(held).thinned(step if augments else 1) if len(held) else None
        train_rows = rows.subset(kept)
        target = self._target(network, labels, train_rows, step)
        network.head.start_at(target.prior_of_counts(train_rows.counts.sum(0)))
        if network.head.standardises and not settings.network.from_scratch:
            measure(network, train_rows)
        augmentation = self._augmentation(train_rows, step, labels.nowhere) if augments else None
        self._train(network, settings, target, (train_rows, valid), augmentation, seed)
        self._loaded: LoadedBackbone | None = loaded if first > 0 else None
        self.classes_, self.trunk_ = labels.classes, "maps" if stored else "pixels"
        self.n_validation_ = len(held)
        self._look_at(train_rows)

    def _look_at(self, rows: MaskRows) -> None:
        """Warn if the trained network gives all pixels one class."""
        looked_at = most_mixed(rows.counts)
        warn_if_one_swallows_all(
            np.concatenate([self._codes_of(rows, row) for row in looked_at]),
            rows.counts[looked_at].sum(0),
            self.classes_,
            "Train longer or at another rate, or give rare classes more weight by "
            "class_weight='balanced' or loss='dice'.",
            stacklevel=4,
        )

    def _codes_of(self, rows: MaskRows, row: int) -> NDArray[np.intp]:
        """Predict the classes of all places of a row of the training, in no order."""
        if self.trunk_ == "pixels":
            (scores,) = self._ready_server().scores([rows.inputs_of(row)])
        else:
            network = self._trained_network()
            device = next(network.parameters()).device
            batch, _ = rows.batch([row])
            with torch.inference_mode():
                scores = network([level.to(device) for level in batch["inputs"]])  # type: ignore[attr-defined]
        codes: NDArray[np.intp] = scores.argmax(1).flatten().cpu().numpy()
        return codes

    def _target(
        self, network: SegmentationNetwork, labels: MaskLabels, rows: MaskRows, step: int
    ) -> MaskTarget:
        return MaskTarget(
            labels.classes,
            partial(place_scores, grid=network.head.grid, step=step),
            self.loss,
            class_weights(self.class_weight, labels.classes, rows.counts.sum(0)),
            float(self.label_smoothing),
        )

    def _augmentation(self, rows: MaskRows, step: int, nowhere: int) -> Any:
        if callable(self.augmentation):
            return UsersAugmentation(self.augmentation, step)
        side = min(_CROP, max(max(codes.shape) for codes in rows.codes))
        strong = self.augmentation == "strong"
        side = max(32, side)
        return JointJitter(side, step, nowhere, *((2.2, 0.4) if strong else (1.6, 0.2)))

    def _train(
        self,
        network: SegmentationNetwork,
        settings: TrainingSettings,
        target: MaskTarget,
        rows: tuple[MaskRows, MaskRows | None],
        augmentation: Any,
        seed: int,
    ) -> None:
        from sktransfer.training.callbacks import tidy
        from sktransfer.training.loop import train
        from sktransfer.training.net import make_net

        net = make_net(
            network,  # type: ignore[arg-type] # it has all that a training asks of a network
            settings,
            target,
            RandomStream(seed, settings.device),
            train_rows=rows[0],  # type: ignore[arg-type] # as its rows have
            valid_rows=rows[1],  # type: ignore[arg-type]
            augmentation=augmentation,
            generator=torch.Generator().manual_seed(seed),
            batches=MaskBatches,
        )
        train(net, rows[0])
        self._network: SegmentationNetwork | None = network.eval()
        self._server: MaskServer | None = None
        self._data: bytes | None = None
        self.history_ = tidy(net.history)
        self.n_iter_ = len(self.history_)

    def _ready_server(self) -> MaskServer:
        """Return what serves the network by the parameters of today."""
        run = self.run_settings()
        if self._server is None or not self._server.suits(run):
            self._server = MaskServer(self._trained_network(), self._loaded, run)
        return self._server

    def _trained_network(self) -> SegmentationNetwork:
        """Return the network, which is built again after a pickle."""
        if self._network is None:
            assert self._data is not None  # either there is a network or its weights
            made = self._made_of
            with seeded(0):
                head = make_decoder(made["head"], made["widths"], made["grids"], len(self.classes_))
                backbone = get_backbone(made["backbone"])
                network = SegmentationNetwork(
                    backbone.build().float(), backbone, made["preprocessing"], head,
                    made["stages"], made["resumes_at"], True,
                )  # fmt: skip
            network.load_state_dict(safetensors.torch.load(self._data))
            network.to(resolve_device(self.device)).to(memory_format=torch.channels_last)
            self._network = network.eval()
        return self._network

    def __getstate__(self) -> dict[str, object]:
        state: dict[str, Any] = super().__getstate__()
        network = state.get("_network")
        if network is not None:
            plain = {
                k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()
            }
            stages = network.stages
            paths = [stage.modules[-1] for stage in network.spec.stages]
            grids = layer_grids(network.backbone, network.spec, paths)
            made_of = {
                "backbone": self.backbone,
                "head": self.head,
                "widths": [network.spec.widths[stage] for stage in stages],
                "grids": [grids[stage] for stage in stages],
                "stages": stages,
                "resumes_at": network.resumes_at,
                "preprocessing": network.preprocessing,
            }
            data = safetensors.torch.save(plain)
            state = {**state, "_network": None, "_data": data, "_made_of": made_of}
        return {**state, "_server": None, "_loaded": None} if "_network" in state else state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_iter_")


def _step(grid: Grid) -> int:
    """Choose the pixels from one label of the loss to the next."""
    return max(1, min(_STEP, round(grid.stride)))
