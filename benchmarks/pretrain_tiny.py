"""Pre-train `tiny` on images made by formulas and export the weights that ship with the package.

    python benchmarks/pretrain_tiny.py --minutes 60 --data ../shared/data

A number of `--images` beside the minutes lets the rate follow the images instead of the clock, so that the same
command makes the same weights again, as far as a machine adds up in the same order.

The averages of the last two stages are to tell the hand-made descriptors of a scene (`descriptors.py`), to be
similar where these are, and to recognise a second view of the scene among all the other views of a batch (SimCLR
[1]_). The scenes come from `fractals.py` and never repeat. `--data` only adds the probe to the log: no image in it
is trained on.

References
----------
.. [1] Chen, Kornblith, Norouzi, Hinton, "A simple framework for contrastive learning of visual
   representations", ICML 2020, equation 1.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from descriptors import N_DESCRIPTORS, describe
from fractals import Atlas, draw_atlas, draw_scenes
from probe_tiny import cifar10, embed, probe
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from tqdm import tqdm

from sktransfer.backbones.tiny import IMAGE_SIZE, MEAN, STD, WEIGHTS_FILE, Tiny, tiny

RECIPE = "hand-made descriptors and SimCLR on scenes of fractals, blobs and textures"

SIDES = (24, 32, 32, 32, 48, 64)
"""A batch is rendered at one of these sides, in pixels, and enlarged: small pictures are what `tiny` often sees."""


class Learner(nn.Module):
    """The network, and what is asked of the averages of its last two stages."""

    def __init__(self, width: int = 512, n_out: int = 128) -> None:
        super().__init__()
        self.net = tiny()
        n_in = sum(stage[-1].bn2.num_features for stage in (self.net.layer3, self.net.layer4))
        self.features = nn.BatchNorm1d(n_in, affine=False)
        self.targets = nn.BatchNorm1d(N_DESCRIPTORS, affine=False)
        self.tell = nn.Linear(n_in, N_DESCRIPTORS)
        self.project = nn.Sequential(
            nn.Linear(n_in, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, n_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (n, 3, size, size) to standardised averages (n, channels of both stages)."""
        third = self.net.layer3(self.net.layer2(self.net.layer1(self.net.stem(x))))
        averages = torch.cat([third.mean((2, 3)), self.net.layer4(third).mean((2, 3))], 1)
        standardised: Tensor = self.features(averages.float())
        return standardised


def contrast(views: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding row i + n/2 by row i, and the reverse, among all rows of (n, dimensions)."""
    n = len(views)
    similarity = (views @ views.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(n, device=views.device).roll(n // 2))


def mismatch(features: Tensor, targets: Tensor) -> Tensor:
    """Compare the similarities among the rows of `features` with those of `targets`, both standardised.

    A regularised linear model sees features only through these similarities; with the same ones it classifies
    alike, however many columns there are.
    """
    wanted = targets @ targets.T / targets.shape[1]
    found = features @ features.T / features.shape[1]
    return F.mse_loss(found, wanted) / wanted.square().mean()


def objective(learner: Learner, images: Tensor, options: argparse.Namespace) -> Tensor:
    """Sum what is asked of a batch (n, 3, side, side) in which images i and i + n / 2 show one scene."""
    with torch.no_grad():
        targets = learner.targets(describe(images)).clamp(-4, 4)  # (n, N_DESCRIPTORS)
    pixels = F.interpolate(images, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", antialias=True)
    with torch.autocast(images.device.type, torch.bfloat16):
        features = learner(_normalise(pixels))
    views = F.normalize(learner.project(features), dim=1)
    return (
        F.mse_loss(learner.tell(features), targets)
        + options.similarity * mismatch(features, targets)
        + options.contrast * contrast(views, options.temperature)
    )


def draw_batch(atlas: Atlas, n_images: int, generator: Generator) -> Tensor:
    """Draw two views each of n_images / 2 scenes: (n_images, 3, side, side) in 0..1."""
    pick = torch.randint(len(SIDES), (1,), generator=generator, device=generator.device)
    images, _ = draw_scenes(atlas, n_images // 2, SIDES[pick.item()], generator)
    return images


def rate(progress: float, warm_up: float = 0.03) -> float:
    """Learning rate relative to its peak: a linear warm-up, then half a cosine down to zero."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


def progress(state: dict[str, Any], options: argparse.Namespace) -> float:
    """Tell how much of a run is over: of its images if it has their number, else of its minutes; over is over."""
    of_time = state["elapsed_s"] / (60 * options.minutes) if options.minutes else 1.0
    if options.images is None or of_time >= 1:
        return float(of_time)
    return float(state["images"] / options.images)


def train(options: argparse.Namespace) -> tuple[Tiny, dict[str, Any]]:
    """Train until the images or the minutes are over and return the network with the record of the run."""
    device = torch.device(options.device)
    torch.manual_seed(options.seed)
    generator = torch.Generator(device).manual_seed(options.seed)
    atlas = draw_atlas(options.systems, options.variants, options.textures, 96, generator)
    learner = Learner().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.0, weight_decay=options.weight_decay)
    state: dict[str, Any] = {"elapsed_s": 0.0, "images": 0, "steps": 0, "log": []}
    if options.checkpoint and options.checkpoint.exists():
        saved = torch.load(options.checkpoint, map_location=device, weights_only=True)
        learner.load_state_dict(saved["learner"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["generator"].cpu())
        state = saved["state"]
    last_save = last_probe = state["elapsed_s"]
    with tqdm(total=100, unit="%", initial=round(100 * progress(state, options))) as bar:
        while (done := progress(state, options)) < 1:
            begin = time.monotonic()
            for group in optimizer.param_groups:
                group["lr"] = options.lr * rate(done)
            loss = objective(learner, draw_batch(atlas, options.batch_size, generator), options)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            state["images"] += options.batch_size
            state["steps"] += 1
            state["elapsed_s"] += time.monotonic() - begin
            bar.update(round(100 * done) - bar.n)
            if state["steps"] % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}", images=state["images"], refresh=False)
            if options.data and state["elapsed_s"] - last_probe > 60 * options.probe_minutes:
                last_probe = state["elapsed_s"]
                accuracy = quick_probe(learner.net, options.data)
                state["log"].append({"images": state["images"], "loss": loss.item(), **accuracy})
                bar.write(json.dumps({"s": round(last_probe), **state["log"][-1]}))
            if options.checkpoint and state["elapsed_s"] - last_save > 120:
                last_save = state["elapsed_s"]
                save_checkpoint(options.checkpoint, learner, optimizer, generator, state)
    if options.checkpoint:
        save_checkpoint(options.checkpoint, learner, optimizer, generator, state)
    if options.data:
        state["log"].append({"images": state["images"], **quick_probe(learner.net, options.data)})
        print(json.dumps(state["log"][-1]))
    return learner.net, state


def quick_probe(net: Tiny, data: Path) -> dict[str, float]:
    """Probe CIFAR-10 with 10 and 100 images a class, ten and three draws: seconds, for the log and for choices.

    The training part alone is used, its last 2,000 images as the test part, so that the table of `probe_tiny.py`
    stays a measurement of images that chose nothing.
    """
    images, labels = cifar10(data).train
    order = np.random.default_rng(0).permutation(len(labels))
    features, labels = embed(net, images[order]), labels[order]
    parts = features[:-2000], labels[:-2000], features[-2000:], labels[-2000:]
    return {
        f"cifar10_{size}": float(np.mean([probe(*parts, size, seed) for seed in range(draws)]))
        for size, draws in ((10, 10), (100, 3))
    }


def _normalise(images: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD)
    )
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def save_checkpoint(
    path: Path,
    learner: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    state: dict[str, Any],
) -> None:
    """Write all that resuming needs, so that an interruption never leaves half a file."""
    partial = path.with_suffix(".part")
    torch.save(
        {
            "learner": learner.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
            "state": state,
        },
        partial,
    )
    partial.replace(path)


def export(net: Tiny, path: Path, record: dict[str, Any]) -> None:
    """Write the weights without the classification layer as float16, the record in the file's header."""
    weights = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in net.state_dict().items()
        if not name.startswith("fc.")
    }
    save_file(
        weights,
        path,
        {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in record.items()
        },
    )


def commit() -> str:
    """The commit of the source that made the weights, as far as git knows it."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """Repeat what was asked for on the command line, without the files of this machine."""
    asked = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in vars(options).items()
        if value != parser.get_default(name) and not isinstance(value, Path)
    ]
    return " ".join(["python benchmarks/pretrain_tiny.py", *asked])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--images", type=int, help="end after as many, if there is time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--threads", type=int, default=2, help="CPU threads, shared by renderer and network in turn"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--systems", type=int, default=2000, help="fractals in the atlas")
    parser.add_argument(
        "--variants", type=int, default=4, help="pictures of each shape in the atlas"
    )
    parser.add_argument("--textures", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--similarity", type=float, default=1.0, help="weight of `mismatch`")
    parser.add_argument("--contrast", type=float, default=0.1, help="weight of SimCLR")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--temperature", type=float, default=0.2)
    parser.add_argument("--data", type=Path, help="folder of the probe's data; never trained on")
    parser.add_argument("--probe-minutes", type=float, default=5)
    parser.add_argument(
        "--checkpoint", type=Path, help="file to write, and to resume from where it exists"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    source = commit()  # before training: the source may change under a long run
    net, state = train(options)
    record = {
        "commit": source,
        "command": command(parser, options),
        "seed": options.seed,
        "n_systems": options.systems,
        "images_seen": state["images"],
        "minutes": round(state["elapsed_s"] / 60, 1),
        "recipe": RECIPE,
        "probe": state["log"],
    }
    export(net, options.out, record)


if __name__ == "__main__":
    main()
