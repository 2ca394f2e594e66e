"""Distillation: the last stages of a network learn the stored vectors of a better one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sktransfer.features.plan import input_preprocessing
from sktransfer.randomness import RandomStream
from sktransfer.training.batches import TrainingRows, n_batches
from sktransfer.training.batchnorm_statistics import renew_statistics
from sktransfer.training.build import (
    faithful_settings,
    feature_width,
    fit_standardizer,
    load,
    new_network,
)
from sktransfer.training.callbacks import tidy
from sktransfer.training.hold_out import hold_out
from sktransfer.training.inputs import compute_inputs
from sktransfer.training.loop import train
from sktransfer.training.net import make_net
from sktransfer.training.supervised import SupervisedRows
from sktransfer.training.targets.vectors import VectorTarget
from sktransfer.training.unfinished import Unfinished, digest_of_training
from sktransfer.unlabelled.map_views import cut_maps
from sktransfer.unlabelled.student import StudentNetwork, mix_weights, start_at_least_squares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from sktransfer.images.sequences import ImageSequence
    from sktransfer.training.inputs import Inputs
    from sktransfer.training.portable_network import TrainedNetwork
    from sktransfer.training.settings import TrainingSettings

__all__ = ["Student", "enrol"]


@dataclass(frozen=True, eq=False)
class Student:
    """A network that is ready to learn from a teacher's vectors.

    Parameters
    ----------
    settings : TrainingSettings
        Settings of the training.
    trained : TrainedNetwork
        The network.
    inputs : Inputs
        Outputs of its frozen stages for all images.
    rows : SupervisedRows
        Rows to train on, with the teacher's vectors.
    target : VectorTarget
        Encodes these vectors.
    seed : int
        Seed of everything random.
    """

    settings: TrainingSettings
    trained: TrainedNetwork
    inputs: Inputs
    rows: SupervisedRows
    target: VectorTarget
    seed: int

    def vectors(self, images: NDArray[np.intp]) -> NDArray[np.float32]:
        """Compute the features of some images as the network is now, from its frozen stages' output."""
        network = self.trained.network.to(self.settings.device).eval()
        stored = self.inputs.views[0]
        parts = np.array_split(images, n_batches(len(images), self.settings.batch_size))
        with torch.inference_mode(), self._autocast():
            found = [
                network.features(torch.from_numpy(stored[part]).to(self.settings.device)).float()
                for part in parts
            ]
        vectors: NDArray[np.float32] = torch.cat(found).cpu().numpy()
        return vectors

    def keeper(self) -> Unfinished | None:
        """Return what keeps the state of the training in the folder of the cache, if there is one."""
        cache = self.settings.run.cache
        if cache is None or cache == "memory":
            return None
        digest = digest_of_training(self.trained.network, self.rows, self.settings, self.seed)
        return None if digest is None else Unfinished(cache, digest)

    def learn(self, mix: float, keeper: Unfinished | None = None) -> list[dict[str, Any]]:
        """Train the network, blend its weights with the start's, and return the epochs' records.

        Parameters
        ----------
        mix : float
            Weight of what was learned.
        keeper : Unfinished, optional
            Keeps the state of the training, and has that of one that was killed.
        """
        network, settings = self.trained.network, self.settings
        epochs = settings.max_epochs
        if keeper is not None:
            epochs -= keeper.epochs_done
            settings = replace(settings, callbacks=[keeper])
        start = {name: p.detach().clone() for name, p in network.backbone.named_parameters()}
        net = make_net(
            network,
            settings,
            self.target,
            RandomStream(self.seed, settings.device),
            train_rows=self.rows.train,
            valid_rows=self.rows.valid,
            augmentation=self.inputs.augmentation,
            generator=torch.Generator().manual_seed(self.seed),
        )
        train(net, self.rows.train, epochs)
        if mix < 1:
            mix_weights(network.backbone, start, mix)
        with self._autocast():
            renew_statistics(network, _batches(self.rows.train, settings.batch_size))
        self.trained.changed(backbone=True)
        network.eval()
        return tidy(net.history)

    def _autocast(self) -> Any:
        in_half = self.settings.precision == "bfloat16"
        return torch.autocast(self.settings.device.type, torch.bfloat16, enabled=in_half)


def enrol(
    images: ImageSequence,
    vectors: NDArray[np.float32],
    settings: TrainingSettings,
    seed: int,
) -> Student:
    """Send images through the frozen stages of a network, and put a head on it that predicts vectors.

    Parameters
    ----------
    images : ImageSequence
        Images to learn from.
    vectors : ndarray of shape (n_images, n_outputs), dtype float32
        Vectors of the teacher; rows of NaN, of images that could not be read, are left out.
    settings : TrainingSettings
        Network and training.
    seed : int
        Seed of everything random.

    Raises
    ------
    ValueError
        If fewer than two images can be read.
    """
    made_of = settings.network
    loaded = load(made_of, seed)
    settings = faithful_settings(settings, loaded)
    preprocessing = input_preprocessing(
        loaded.preprocessing, made_of.image_size, made_of.image_shape, loaded.spec.patch
    )
    inputs = compute_inputs(images, loaded, preprocessing, settings, seed)
    inputs = _with_map_views(inputs, settings, has_places=loaded.spec.layout == "nchw")
    readable = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    usable = np.setdiff1d(readable, inputs.failed)
    if len(usable) < 2:
        raise ValueError(
            f"X has {len(usable)} image to learn from (n_samples={len(usable)}). Images are compared with "
            "each other, so pass at least two; hundreds are useful."
        )
    target = VectorTarget.of(vectors[usable])
    rows = _split(inputs, usable, target.encode(vectors[usable]), settings.held_out, seed)
    width = feature_width(loaded, made_of.pooling, preprocessing)
    trained = new_network(
        loaded, preprocessing, settings, (width, target.n_outputs), seed, StudentNetwork
    )
    network = trained.network
    fit_standardizer(network, _batches(rows.train, settings.batch_size), settings)
    student = Student(settings, trained, inputs, rows, target, seed)
    features = torch.from_numpy(student.vectors(rows.train.rows)).to(settings.device)
    with torch.no_grad():
        own = network.standardize(features)
    start_at_least_squares(network.head, own, torch.from_numpy(rows.train.targets))
    return student


def _split(
    inputs: Inputs,
    usable: NDArray[np.intp],
    encoded: NDArray[np.float32],
    held_out: float,
    seed: int,
) -> SupervisedRows:
    """Put inputs and encoded vectors together, and hold some rows back."""
    everything = TrainingRows(inputs.views, usable, encoded, np.ones(len(usable), np.float32))
    kept, held_back = hold_out(np.zeros(len(usable)), held_out, seed)
    valid = everything.subset(held_back) if len(held_back) else None
    return SupervisedRows(everything.subset(kept), valid)


def _with_map_views(inputs: Inputs, settings: TrainingSettings, *, has_places: bool) -> Inputs:
    """Let each step see a part of the stored maps, where a part of a map is a map."""
    by_itself = settings.augmentation == "auto" and settings.network.pooling != "flatten"
    if inputs.kind == "maps" and has_places and by_itself:
        return replace(inputs, augmentation=cut_maps)
    return inputs


def _batches(rows: TrainingRows, batch_size: int) -> Iterator[Tensor]:
    """Yield the inputs of all rows, as they are, in batches of nearly equal sizes."""
    for some in np.array_split(np.arange(len(rows)), n_batches(len(rows), batch_size)):
        yield rows.batch(some)[0]["inputs"]
