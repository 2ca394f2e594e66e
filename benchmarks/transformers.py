"""Are vision transformers used as they are meant to be, and how fast?

    python benchmarks/transformers.py --only tokens
    python benchmarks/transformers.py --only partial
    python benchmarks/transformers.py --only precision
    python benchmarks/transformers.py --only profile
    python benchmarks/transformers.py --only sizes

`tokens`: class tokens, or averages where there is none, against timm's own head. `partial`: ten epochs of partial
fine-tuning against one pass of the frozen stages and a bare loop over what trains. `precision`: images per second
beside timm's loops, torch.compile and the limit, a product of two square bfloat16 matrices at the network's
operations. `profile`: where the time goes. `sizes`: DINOv2 at 224 and at 518 pixels. Weights are random, which changes
no speed. Seconds are of the processor, summed over threads, so that other programs disturb them little.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from reporting import bfloat16_rate, in_turn, print_table, save
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from sktransfer import DeepFeatureTransformer, FineTuneClassifier
from sktransfer.backbones import load_backbone

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, N_CLASSES = 32, 3


def tokens(options: argparse.Namespace) -> list[dict[str, Any]]:
    return [_token(name) for name in options.networks]


@torch.no_grad()
def _token(name: str) -> dict[str, Any]:
    size = 224 if "dinov2" in name else None  # which was built for 518
    loaded = load_backbone(name, "random", random_state=0)
    pooling = "token" if loaded.spec.class_token else "avg"
    X = _images(4, size or loaded.preprocessing.crop)
    ours = DeepFeatureTransformer(
        name, weights="random", random_state=0, pooling=pooling, image_size=size,
        precision="float32", cache=None,
    ).fit(X)  # fmt: skip
    features = torch.from_numpy(ours.transform(X))
    reference = copy.deepcopy(loaded.module)
    norm = getattr(getattr(reference, "head", None), "norm", None)
    if norm is None:
        reference.reset_classifier(0, pooling)
    else:  # ConvNeXt's head has a norm, which is no part of the features
        features = norm(features[..., None, None]).flatten(1)
    batch = ours.plan_.preprocessing.normalize(torch.from_numpy(X))
    expected = reference.forward_head(reference.forward_features(batch), pre_logits=True)
    return {
        "network": name,
        "pixels": ours.plan_.preprocessing.crop,
        "pooling": pooling,
        "then": "" if norm is None else "LayerNorm of the head",
        "largest difference": float((features - expected).abs().max()),
        "largest value": float(expected.abs().max()),
    }


def partial(options: argparse.Namespace) -> list[dict[str, Any]]:
    return [_partial(name, options) for name in options.networks]


def _partial(name: str, options: argparse.Namespace) -> dict[str, Any]:
    X = _images(options.images, load_backbone(name, "random", random_state=0).preprocessing.crop)
    y = np.arange(len(X)) % N_CLASSES
    settings = {"weights": "random", "random_state": 0, "cache": None}
    model = FineTuneClassifier(
        name, strategy="partial", max_epochs=options.epochs, early_stopping=False, augmentation=None,
        **settings,
    )  # fmt: skip
    frozen = DeepFeatureTransformer(name, layers=-2, **settings).fit(X)
    network = copy.deepcopy(model.fit(X[:6], y[:6]).net_.module_)
    width, n_tokens = model.net_.module_.spec.widths[-1], _n_tokens(network)
    states = torch.randn(len(X), width, n_tokens, 1)
    half = model.net_.precision == "bfloat16"
    contestants = {
        "one pass": lambda: frozen.transform(X),
        "trained part": lambda: _bare_loop(network, states, options.epochs, half),
        "ours": lambda: model.fit(X, y),
    }
    seconds = in_turn(contestants, options.rounds, time.process_time)
    both = seconds["one pass"] + seconds["trained part"]
    return {
        "network": name,
        "images": len(X),
        "epochs": options.epochs,
        "stages run": model.trunk_,
        "precision": model.net_.precision,
        **{f"{what} s": spent for what, spent in seconds.items()},
        "times both": seconds["ours"] / both,
    }


def _n_tokens(network: Any) -> int:
    side = network.preprocessing.crop // network.spec.patch
    return int(side * side + network.spec.prefix_tokens)


def _bare_loop(network: Any, states: torch.Tensor, epochs: int, half: bool) -> None:
    """Train what a partial training trains, from stored states."""
    network.train()
    optimizer = torch.optim.AdamW(
        [parameter for parameter in network.parameters() if parameter.requires_grad], fused=True
    )
    targets = torch.arange(len(states)) % N_CLASSES
    for _ in range(epochs):
        for rows in torch.randperm(len(states)).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                scores = network(states[rows])
            loss = F.cross_entropy(scores.float(), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def precision(options: argparse.Namespace) -> list[dict[str, Any]]:
    return [_precision(name, options) for name in options.networks]


def _precision(name: str, options: argparse.Namespace) -> dict[str, Any]:
    network = _timm(name)
    X = _images(options.images, network.pretrained_cfg["input_size"][-1])
    half = copy.deepcopy(network).bfloat16()
    contestants = {
        "ours": _ours(name, X, "bfloat16", options),
        "timm's loop": lambda: _loop(half, X, torch.bfloat16, options.batch_size),
        "ours, float32": _ours(name, X, "float32", options),
        "timm's loop, float32": lambda: _loop(network, X, torch.float32, options.batch_size),
    }
    if options.compile:
        compiled = torch.compile(half, options={"freezing": True})
        contestants["torch.compile"] = lambda: _loop(
            compiled, X, torch.bfloat16, options.batch_size
        )
    seconds = in_turn(contestants, options.rounds, time.process_time)
    per_second = {what: len(X) / spent for what, spent in seconds.items()}
    limit = bfloat16_rate(time.process_time) / _operations(network, X)
    return {
        "network": name,
        **per_second,
        "limit": limit,
        "of the limit": f"{per_second['ours'] / limit:.0%}",
        "times timm's loop": per_second["ours"] / per_second["timm's loop"],
    }


def _operations(network: nn.Module, X: Any) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, *X.shape[1:3]))
    return counter.get_total_flops()


def profiled(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for name in options.networks:
        network = _timm(name).bfloat16()
        X = _images(options.batch_size, network.pretrained_cfg["input_size"][-1])
        for who, run in (
            ("ours", _ours(name, X, "bfloat16", options)),
            ("timm's loop", lambda: _loop(network, X, torch.bfloat16, options.batch_size)),  # noqa: B023
        ):
            run()
            with profile(activities=[ProfilerActivity.CPU]) as seen:
                run()
            events = seen.key_averages()
            total = sum(event.self_cpu_time_total for event in events)
            rows += [
                {"network": name, "of": who, "operator": event.key, "calls": event.count,
                 "share": f"{event.self_cpu_time_total / total:.1%}"}
                for event in sorted(events, key=lambda event: -event.self_cpu_time_total)[:8]
            ]  # fmt: skip
    return rows


def sizes(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for name in options.networks:
        contestants = {}
        for size in options.sizes:
            X = _images(options.images, size)
            contestants[size] = _ours(name, X, "auto", options, image_size=size)
        seconds = in_turn(contestants, options.rounds, time.process_time)
        small, large = options.sizes
        rows.append(
            {
                "network": name,
                **{f"images/s at {size} px": options.images / seconds[size] for size in seconds},
                "times as fast": seconds[large] / seconds[small],
            }
        )
    return rows


def _ours(
    name: str, X: Any, dtype: str, options: argparse.Namespace, **more: Any
) -> Callable[[], Any]:
    model = DeepFeatureTransformer(
        name, weights="random", random_state=0, cache=None, batch_size=options.batch_size,
        num_workers=0, precision=dtype, **more,
    ).fit(X)  # fmt: skip
    return lambda: model.transform(X)


def _timm(name: str) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name.removeprefix("timm:"), num_classes=0).eval()


@torch.no_grad()
def _loop(network: nn.Module, X: Any, dtype: torch.dtype, batch_size: int) -> Any:
    """Batch by batch, as timm's documentation has it."""
    rows = []
    for start in range(0, len(X), batch_size):
        batch = torch.from_numpy(X[start : start + batch_size]).permute(0, 3, 1, 2)
        rows.append(network(((batch.float() / 255 - 0.5) / 0.5).to(dtype)).float().numpy())
    return np.concatenate(rows)


def _images(n_images: int, side: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n_images, side, side, 3), np.uint8)


SECTIONS = {
    "tokens": tokens, "partial": partial, "precision": precision, "profile": profiled, "sizes": sizes,
}  # fmt: skip
NETWORKS = {
    "tokens": [
        "timm:vit_small_patch14_dinov2",
        "timm:vit_small_patch14_reg4_dinov2",
        "timm:vit_small_patch16_dinov3",
        "timm:vit_base_patch16_clip_224",
        "timm:vit_base_patch16_siglip_224",
        "timm:convnext_tiny.dinov3_lvd1689m",
        "timm:swin_tiny_patch4_window7_224",
    ],
    "partial": ["timm:vit_small_patch16_224", "timm:vit_small_patch16_dinov3"],
    "precision": ["timm:vit_small_patch16_224"],
    "profile": ["timm:vit_small_patch16_224"],
    "sizes": ["timm:vit_small_patch14_dinov2"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=SECTIONS, required=True)
    parser.add_argument("--networks", nargs="+", help="others than the section's own")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs=2, default=[224, 518])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="needs a compiler of C++")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    options.networks = options.networks or NETWORKS[options.only]
    rows = SECTIONS[options.only](options)
    print_table(rows)
    settings = {key: str(value) for key, value in vars(options).items() if key != "out"}
    save(options.out, rows, **settings, timm=timm.__version__)


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    main()
