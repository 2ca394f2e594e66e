"""Pre-train `tiny` on images made by formulas and export the weights that ship with the package.

    python benchmarks/pretrain_tiny.py --minutes 35 --data ../shared/data

Two views of one random scene are to be recognised among all the other views of a batch (SimCLR [1]_); the scenes
come from `fractals.py` and never repeat. `--data` only adds the probe to the log: no image in it is trained on.

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
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from fractals import draw_atlas, draw_scenes
from probe_tiny import cifar10, embed, probe
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from sktransfer.backbones.tiny import IMAGE_SIZE, MEAN, STD, WEIGHTS_FILE, Tiny, tiny

RECIPE = "SimCLR on scenes of fractals, blobs and textures"


class Learner(nn.Module):
    """The network and a projection of its last two stages, which the loss compares."""

    def __init__(self, width: int = 512, n_out: int = 128) -> None:
        super().__init__()
        self.net = tiny()
        n_in = sum(stage[-1].bn2.num_features for stage in (self.net.layer3, self.net.layer4))
        self.head = nn.Sequential(
            nn.Linear(n_in, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, n_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (n, 3, size, size) to unit vectors (n, n_out)."""
        third = self.net.layer3(self.net.layer2(self.net.layer1(self.net.stem(x))))
        pooled = torch.cat([third.mean((2, 3)), self.net.layer4(third).mean((2, 3))], 1)
        return F.normalize(self.head(pooled).float(), dim=1)


def contrast(views: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding row i + n/2 by row i, and the reverse, among all rows of (n, dimensions)."""
    n = len(views)
    similarity = (views @ views.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(n, device=views.device).roll(n // 2))


def rate(progress: float, warm_up: float = 0.03) -> float:
    """Learning rate relative to its peak: a linear warm-up, then half a cosine down to zero."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


def train(options: argparse.Namespace) -> tuple[Tiny, dict[str, Any]]:
    """Train until the minutes are over and return the network with the record of the run."""
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
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    total_s, last_save, last_probe = 60 * options.minutes, 0.0, state["elapsed_s"]
    with tqdm(
        total=round(total_s), unit="s", initial=round(state["elapsed_s"]), mininterval=10
    ) as bar:
        while state["elapsed_s"] < total_s:
            begin = time.monotonic()
            progress = state["elapsed_s"] / total_s
            for group in optimizer.param_groups:
                group["lr"] = options.lr * rate(progress)
            size = IMAGE_SIZE if progress > options.full_size_from else options.crop_size
            images, _ = draw_scenes(atlas, options.batch_size // 2, size, generator)
            x = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16):
                views = learner(x)
            loss = contrast(views, options.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            state["images"] += len(images)
            state["steps"] += 1
            spent = time.monotonic() - begin
            state["elapsed_s"] += spent
            bar.update(round(state["elapsed_s"]) - bar.n)
            if state["steps"] % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}", images=state["images"])
            if options.data and state["elapsed_s"] - last_probe > 60 * options.probe_minutes:
                last_probe = state["elapsed_s"]
                accuracy = quick_probe(learner.net, options.data)
                state["log"].append({"images": state["images"], "loss": loss.item(), **accuracy})
                bar.write(json.dumps({"s": round(last_probe), **state["log"][-1]}))
            if options.checkpoint and state["elapsed_s"] - last_save > 120:
                last_save = state["elapsed_s"]
                save_checkpoint(options.checkpoint, learner, optimizer, generator, state)
    if options.data:
        state["log"].append({"images": state["images"], **quick_probe(learner.net, options.data)})
        print(json.dumps(state["log"][-1]))
    return learner.net, state


def quick_probe(net: Tiny, data: Path) -> dict[str, float]:
    """Probe CIFAR-10 with 10 and 100 images a class, two draws: seconds, for the log."""
    task = cifar10(data)
    train, test = embed(net, task.train.images), embed(net, task.test.images)
    return {
        f"cifar10_{size}": sum(
            probe(train, task.train.labels, test, task.test.labels, size, s) for s in range(2)
        )
        / 2
        for size in (10, 100)
    }


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
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
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--crop-size", type=int, default=48, help="pixels, for most of the run")
    parser.add_argument(
        "--full-size-from", type=float, default=0.8, help="share of the run, then 64 pixels"
    )
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
    net, state = train(options)
    record = {
        "commit": commit(),
        "command": " ".join(["python", *sys.argv]),
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
