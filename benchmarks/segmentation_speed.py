"""How fast is segmentation beside hand-written loops and segmentation_models_pytorch?

    python benchmarks/segmentation_speed.py --only frozen full predict search smp --data DATA --weights WEIGHTS

DATA holds train and trainannot of CamVid, WEIGHTS those of mobilenet_v2. The plain loop is a tutorial's:
torchvision's network, the same decoder, scores enlarged to the image, cross-entropy plus Dice, float32,
AdamW, and the same batches, crops and epochs, all decoded in memory. Seconds are of the processor, of
contestants in turn within one run.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from reporting import in_turn, print_table, save
from sklearn.model_selection import GridSearchCV, KFold
from torch import nn

from sktransfer import FineTuneSegmenter, MaskScorer
from sktransfer.backbones import load_backbone
from sktransfer.features.store import open_store
from sktransfer.segmentation.build import pyramid
from sktransfer.segmentation.decoders import make_decoder
from sktransfer.segmentation.mask_batches import JointJitter

N_CLASSES, UNLABELED, BATCH, CROP = 11, 11, 8, 256
MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
HEADS, RATES = ("fpn", "fcn8s"), (3e-4, 1e-3, 3e-3)


class Plain(nn.Module):
    """torchvision's network and a decoder, in a tutorial's way."""

    def __init__(self, weights, head="fpn"):
        super().__init__()
        loaded = load_backbone("mobilenet_v2", weights)
        stages, grids = pyramid(loaded, head)
        self.features = torchvision.models.mobilenet_v2().features
        state = safetensors.torch.load_file(weights)
        self.features.load_state_dict(
            {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
        )
        self.taken = [int(loaded.spec.stages[stage].modules[-1].split(".")[1]) for stage in stages]
        widths = [loaded.spec.widths[stage] for stage in stages]
        self.head = make_decoder(head, widths, grids, N_CLASSES)

    def maps(self, pixels):
        """Compute the maps that the decoder takes."""
        values, maps = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD, []
        for place, layer in enumerate(self.features):
            values = layer(values)
            if place in self.taken:
                maps.append(values)
        return maps

    def forward(self, pixels, frozen=False):
        """Score pixels (batch, height, width, 3)."""
        with torch.set_grad_enabled(not frozen and torch.is_grad_enabled()):
            maps = self.maps(pixels)
        return F.interpolate(self.head(maps), pixels.shape[1:3], mode="bilinear")


def train_plain(model, X, y, epochs, *, frozen, lr=1e-3):
    """Train on whole images if the network is frozen, otherwise on crops."""
    model.train()
    if frozen:
        model.features.requires_grad_(False).eval()
    for part in model.modules():  # as `freeze_batchnorm` does
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    groups = [{"params": model.head.parameters(), "lr": lr}]
    if not frozen:
        groups.append({"params": model.features.parameters(), "lr": lr / 10})
    optimizer = torch.optim.AdamW(groups)
    crops = JointJitter(CROP, 1, UNLABELED)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(BATCH):
            images, masks = [X[row] for row in rows], [y[row] for row in rows]
            if frozen:
                pixels, codes = (
                    torch.from_numpy(np.stack(images)),
                    torch.from_numpy(np.stack(masks)),
                )
            else:
                pixels, codes = crops(images, masks, generator)
            loss = cross_entropy_and_dice(model(pixels, frozen), codes.long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def cross_entropy_and_dice(scores, codes):
    known = (codes != UNLABELED)[:, None]
    shares = scores.softmax(1) * known
    true = F.one_hot(codes, N_CLASSES + 1)[..., :N_CLASSES].movedim(-1, 1) * known
    both, total = (shares * true).sum((0, 2, 3)), (shares + true).sum((0, 2, 3))
    dice = 1 - (2 * both / total.clamp(min=1e-6)).mean()
    return F.cross_entropy(scores, codes, ignore_index=UNLABELED) + dice


def predict_plain(model, X):
    """Predict in batches."""
    model.eval()
    parts = [torch.from_numpy(np.stack(X[at : at + BATCH])) for at in range(0, len(X), BATCH)]
    with torch.inference_mode():
        masks = [model(part).argmax(1) for part in parts]
    return torch.cat(masks).numpy()


def segmenter(options, strategy, **parameters):
    return FineTuneSegmenter(
        "mobilenet_v2", weights=options.weights, strategy=strategy, head="fpn", unlabeled=UNLABELED,
        early_stopping=False, random_state=0, **parameters,
    )  # fmt: skip


def frozen(options):
    return training(options, "frozen", options.frozen_epochs)


def full(options):
    return training(options, "full", options.full_epochs)


def training(options, strategy, epochs):
    X, y = read(options.data, options.images)
    plain = Plain(options.weights)
    model = segmenter(options, strategy, max_epochs=epochs)

    def ours():
        open_store("memory").clear()
        model.fit(X, y)

    def by_hand(network):
        return lambda: train_plain(network, X, y, epochs, frozen=strategy == "frozen")

    contestants = {"plain": by_hand(plain), "ours": ours}
    if options.beside_smp:
        contestants["segmentation_models_pytorch s"] = by_hand(Smp(options.weights))
    seconds = in_turn(contestants, options.rounds, time.process_time)
    return [row(f"{strategy}, {len(X)} images, {epochs} epochs", seconds)]


def predict(options):
    """Predict images that no store knows, with a frozen and with a tuned network."""
    X, y = read(options.data, options.images)
    plain = Plain(options.weights)
    rows = []
    for strategy in ("frozen", "full"):
        model = segmenter(options, strategy, max_epochs=1).fit(X[:16], y[:16])

        def ours(model=model):
            open_store("memory").clear()
            model.predict(X)

        seconds = in_turn(
            {"plain": lambda: predict_plain(plain, X), "ours": ours},
            options.rounds,
            time.process_time,
        )
        rows.append(row(f"predict, {strategy}, {len(X)} images", seconds))
    return rows


def search(options):
    """Search six frozen candidates in three folds, against one pass and bare loops over its maps."""
    X, y = read(options.data, options.images)
    X, y = list(X), list(y)
    epochs = options.search_epochs
    grid = {"head": HEADS, "lr": RATES}
    model = segmenter(options, "frozen", max_epochs=epochs)
    tried = GridSearchCV(
        model, grid, cv=KFold(3), scoring=MaskScorer(unlabeled=UNLABELED), refit=False
    )

    def ours():
        open_store("memory").clear()
        tried.fit(X, y)

    def bare():
        maps = [one_pass(options, image) for image in X]
        for head in HEADS:
            for lr in RATES:
                for kept, held in KFold(3).split(X):
                    bare_head(options, head, lr, maps, y, (kept, held), epochs)

    def without_a_store():
        model.set_params(cache=None)
        tried.fit(X, y)
        model.set_params(cache="memory")

    contestants = {"plain": bare, "ours": ours}
    if options.without_store:
        contestants["ours, cache=None"] = without_a_store
    seconds = in_turn(contestants, options.rounds, time.process_time)
    return [row(f"search of 6 candidates in 3 folds, {len(X)} images, {epochs} epochs", seconds)]


_networks: dict[str, Plain] = {}


def one_pass(options, image):
    if "pass" not in _networks:
        _networks["pass"] = Plain(options.weights).eval()
    with torch.inference_mode():
        maps = _networks["pass"].maps(torch.from_numpy(image[None]))
    return [level[0].half() for level in maps]


def bare_head(options, head, lr, maps, y, split, epochs):
    """Train a head on stored maps in bfloat16, label every fourth pixel, and score what was held."""
    net = Plain(options.weights, head).head.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, fused=True)
    kept, held = split

    def scores_of(rows):
        levels = [torch.stack(level) for level in zip(*(maps[row] for row in rows), strict=True)]
        with torch.autocast("cpu", torch.bfloat16):
            return net([level.bfloat16() for level in levels]).float()

    for _ in range(epochs):
        for rows in torch.from_numpy(kept)[torch.randperm(len(kept))].split(BATCH):
            scores = scores_of(rows)
            codes = torch.from_numpy(np.stack([y[row][::4, ::4] for row in rows])).long()
            codes = codes[:, : scores.shape[2], : scores.shape[3]]
            scores = F.interpolate(scores, codes.shape[1:], mode="bilinear")
            loss = cross_entropy_and_dice(scores, codes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    net.eval()
    masks = []
    with torch.inference_mode():
        for start in range(0, len(held), BATCH):
            rows = held[start : start + BATCH]
            masks.append(F.interpolate(scores_of(rows), y[0].shape, mode="bilinear").argmax(1))
    return MaskScorer(unlabeled=UNLABELED).measure(
        [y[row] for row in held], torch.cat(masks).numpy()
    )


def smp(options):
    """Train segmentation_models_pytorch's FPN with the same weights, and score it on all test images."""
    X, y = read(options.data, None)
    X_test, y_test = read(options.data, None, "test")
    rows = []
    for strategy in options.smp_strategies:
        epochs = options.frozen_epochs if strategy == "frozen" else options.full_epochs
        network = Smp(options.weights)
        start = time.process_time()
        train_plain(network, X, y, epochs, frozen=strategy == "frozen")
        minutes = (time.process_time() - start) / 60
        masks = predict_plain(network, X_test)
        scorer = MaskScorer(unlabeled=UNLABELED)
        rows.append(
            {
                "setting": f"segmentation_models_pytorch, FPN, {strategy}, {epochs} epochs",
                "mIoU": f"{scorer.measure(y_test, masks):.3f}",
                "car": f"{scorer.scores_by_label(y_test, masks)[8]:.3f}",
                "core-minutes": f"{minutes:.1f}",
            }
        )
        print(rows[-1], flush=True)
    return rows


class Smp(nn.Module):
    """FPN of segmentation_models_pytorch; sides are padded to multiples of 32."""

    def __init__(self, weights):
        super().__init__()
        import segmentation_models_pytorch

        model = segmentation_models_pytorch.FPN(
            "mobilenet_v2", encoder_weights=None, classes=N_CLASSES
        )
        state = safetensors.torch.load_file(weights)
        model.encoder.load_state_dict(
            {k: v for k, v in state.items() if k.startswith("features.")}, strict=False
        )
        self.features = model.encoder
        self.head = nn.ModuleList([model.decoder, model.segmentation_head])

    def forward(self, pixels, frozen=False):
        """Score pixels (batch, height, width, 3)."""
        height, width = pixels.shape[1:3]
        values = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
        values = F.pad(values, (0, -width % 32, 0, -height % 32))
        with torch.set_grad_enabled(not frozen and torch.is_grad_enabled()):
            maps = self.features(values)
        scores = self.head[1](self.head[0](maps))
        return scores[:, :, :height, :width]


def row(what, seconds):
    return {
        "what": what,
        "plain s": round(seconds["plain"], 1),
        "ours s": round(seconds["ours"], 1),
        "plain / ours": round(seconds["plain"] / seconds["ours"], 2),
        **{name: round(s, 1) for name, s in seconds.items() if name not in ("plain", "ours")},
    }


def read(folder, n_images, part="train"):
    paths = sorted((folder / part).glob("*.jpg"))
    paths = paths[:: max(1, len(paths) // n_images)][:n_images] if n_images else paths
    masks = [folder / f"{part}annot" / f"{path.stem}.png" for path in paths]
    return ([np.array(Image.open(path)) for path in some] for some in (paths, masks))


SECTIONS = {"frozen": frozen, "full": full, "predict": predict, "search": search, "smp": smp}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True, help="of mobilenet_v2")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--frozen-epochs", type=int, default=7)
    parser.add_argument("--full-epochs", type=int, default=3)
    parser.add_argument("--search-epochs", type=int, default=2)
    parser.add_argument("--beside-smp", action="store_true", help="in frozen and full")
    parser.add_argument("--smp-strategies", nargs="+", default=["frozen", "full"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--without-store", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for name in options.only:
        found = SECTIONS[name](options)
        print_table(found)
        rows += found
    save(options.out, rows)


if __name__ == "__main__":
    main()
