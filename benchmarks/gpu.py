"""Does everything work on a GPU, how fast, and what limits it?

Run as ``python benchmarks/gpu.py RESULTS``: parts print as they end, ``RESULTS/gpu.json`` holds their
figures, and a part that fails does not stop the next. It ends in six minutes; ``--device cpu`` runs
the same, smaller, where there is no card. Networks have random weights, so nothing is downloaded.
"""

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # for the last part

import argparse
import io
import json
import pickle
import platform
import tempfile
import threading
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
import torch
import torchvision
from joblib import Parallel, delayed
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset

from sktransfer import DANNClassifier, DeepFeatureTransformer, FineTuneClassifier
from sktransfer.backbones.weights import load_backbone
from sktransfer.datasets import load_digit_domains, load_digit_images
from sktransfer.exceptions import DeviceWarning


@dataclass
class Setting:
    """Sizes of the trial, which are smaller on a CPU."""

    device: torch.device
    networks: tuple[str, ...]
    side: int
    n_images: int
    n_files: int
    n_trained: int
    batch: int

    @property
    def on_card(self):
        """Whether the device is a GPU."""
        return self.device.type == "cuda"


def setting_for(device):
    if device.type == "cuda":
        names = ("resnet50", "efficientnet_b0", "timm:vit_small_patch16_224")
        return Setting(device, names, 224, 4096, 2048, 1024, 128)
    return Setting(device, ("tiny",), 64, 48, 32, 32, 16)


# ---------------------------------------------------------------------------------- correctness


def features_agree(setting):
    """Features of the card and of the CPU: largest difference in float32, smallest cosine by "auto"."""
    X = pictures(16, setting.side)
    found = {}
    for name in setting.networks:
        common = {"weights": "random", "random_state": 0, "cache": None}
        expected = transform(name, X, device="cpu", precision="float32", **common)
        exact = transform(name, X, device=setting.device, precision="float32", **common)
        auto = transform(name, X, device=setting.device, **common)
        scale = np.abs(expected).max()
        found[name] = {
            "difference_float32": float(np.abs(exact - expected).max() / scale),
            "cosine_auto": float(cosines(auto, expected).min()),
            "ok": bool(
                np.abs(exact - expected).max() / scale < 1e-4
                and cosines(auto, expected).min() > 0.999
            ),
        }
    return found


def training_runs(setting):
    """One epoch of every strategy, and of an adaptation; losses have to be finite."""
    digits, domains = load_digit_images(), load_digit_domains()
    found = {}
    for strategy in ("frozen", "partial", "full", "scratch"):
        model = FineTuneClassifier(
            "tiny", strategy=strategy, max_epochs=1, device=setting.device, random_state=0
        )
        model.fit(digits.X[:96], digits.y[:96])
        found[strategy] = model.history_[-1]["train_loss"]
    model = DANNClassifier("tiny", max_epochs=1, device=setting.device, random_state=0)
    model.fit(domains.X_source[:96], domains.y_source[:96], X_target=domains.X_target[:96])
    found["dann"] = model.history_[-1]["label_loss"]
    return found | {"ok": bool(np.isfinite(list(found.values())).all())}


def pickles_travel(setting):
    """A model that was trained on the card predicts the same on a CPU, and back on the card."""
    digits = load_digit_images()
    model = FineTuneClassifier(
        "tiny", max_epochs=2, device=setting.device, precision="float32", random_state=0
    ).fit(digits.X[:96], digits.y[:96])
    expected = model.predict_proba(digits.X[96:128])
    on_cpu = pickle.loads(pickle.dumps(model)).set_params(device="cpu")
    found = on_cpu.predict_proba(digits.X[96:128])
    back = pickle.loads(pickle.dumps(on_cpu)).set_params(device=setting.device)
    again = back.predict_proba(digits.X[96:128])
    differences = [float(np.abs(other - expected).max()) for other in (found, again)]
    return {"differences": differences, "ok": max(differences) < 1e-3}


def memory_runs_out(setting):
    """A batch that does not fit goes through in halves, with a warning and the same features."""
    if not setting.on_card:
        return {"ok": True, "left out": "only the memory of a card runs out in words"}
    X = pictures(512, setting.side)
    common = {"weights": "random", "random_state": 0, "cache": None, "device": setting.device}
    expected = transform("resnet50", X, batch_size=64, **common)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(setting.device)
    held = torch.empty(max(0, free - 3 * 2**30), dtype=torch.uint8, device=setting.device)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DeviceWarning)
            found = transform("resnet50", X, batch_size=512, precision="float32", **common)
    finally:
        del held
        torch.cuda.empty_cache()
    halved = [str(one.message) for one in said if "in halves" in str(one.message)]
    smallest = float(cosines(found, expected).min())
    return {"warnings": halved[:1], "cosine": smallest, "ok": bool(halved) and smallest > 0.999}


def modules_of_users_run(setting):
    """A module of the user's own, which lies on the card already, stays there and gives features."""
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2)
    )
    X = pictures(8, 64)
    expected = transform(module.eval(), X, device="cpu", precision="float32", cache=None)
    module.to(setting.device)
    found = transform(module, X, device=setting.device, precision="float32", cache=None)
    stays = next(module.parameters()).device.type == setting.device.type
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    return {"difference": difference, "ok": stays and difference < 1e-4}


def threads_and_workers_share(setting):
    """Two threads, and two worker processes of joblib, use one card."""
    X = pictures(64, setting.side)
    name = setting.networks[0]
    common = {"weights": "random", "random_state": 0, "cache": None, "device": setting.device}
    expected = transform(name, X, **common)
    found = {}

    def run(part):
        found[part] = transform(name, X, **common)

    threads = [threading.Thread(target=run, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    in_threads = all(np.allclose(found[part], expected, atol=1e-3) for part in range(2))
    done = Parallel(n_jobs=2)(delayed(transform)(name, X, **common) for _ in range(2))
    in_workers = all(np.allclose(other, expected, atol=1e-3) for other in done)
    return {"threads": in_threads, "workers": in_workers, "ok": in_threads and in_workers}


# ---------------------------------------------------------------------------------------- speed


def extraction_speed(setting):
    """Images a second from arrays and from files, beside the network alone and a plain loop."""
    X = pictures(setting.n_images, setting.side)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        files = jpegs(setting.n_files, folder, setting.side)
        for name in setting.networks:
            features = DeepFeatureTransformer(
                name, weights="random", random_state=0, cache=None, device=setting.device,
                batch_size=setting.batch, num_workers="auto",
            )  # fmt: skip
            features.transform(X[: 2 * setting.batch])  # ready, warm
            own = len(X) / seconds(lambda features=features: features.transform(X), setting)
            files_own = len(files) / seconds(
                lambda features=features: features.transform(files), setting
            )
            resident = resident_speed(name, setting)
            plain = plain_speed(name, files[: len(files) // 4], setting)
            found[name] = {
                "images/s from arrays": own,
                "images/s resident": resident,
                "share of the resident limit": own / resident,
                "images/s from JPEG files": files_own,
                "images/s plain float32 loop with DataLoader": plain,
                "times the plain loop": files_own / plain,
            }
            print(f"    {name}: {rounded(found[name])}", flush=True)
    return found


def training_speed(setting):
    """Seconds of an epoch, everything trained, beside a loop by hand under autocast; a step of DANN."""
    name = setting.networks[0]
    X, y = pictures(setting.n_trained, setting.side), np.arange(setting.n_trained) % 10
    options = {
        "weights": "random", "strategy": "full", "batch_size": 32, "early_stopping": False,
        "augmentation": None, "device": setting.device, "random_state": 0,
    }  # fmt: skip
    model = FineTuneClassifier(name, max_epochs=3, **options).fit(X, y)
    own = min(record["seconds"] for record in model.history_)
    by_hand = epoch_by_hand(name, X, y, setting)
    half = len(X) // 2
    adapted = DANNClassifier(name, max_epochs=2, **options).fit(
        X[:half], y[:half], X_target=X[half:]
    )
    step = adapted.history_[-1]["seconds"] / max(1, half // 16)
    return {
        "seconds of an epoch": own,
        "seconds by hand": by_hand,
        "times the loop by hand": own / by_hand,
        "seconds of a step of DANN (about)": step,
    }


def time_line(setting):
    """Where a pass spends its time: decoding, copying, computing, copying back, and all together."""
    name, side, batch = setting.networks[0], setting.side, setting.batch
    with tempfile.TemporaryDirectory() as folder:
        files = jpegs(4 * batch, folder, side)
        start = time.perf_counter()
        decoded = [
            np.asarray(Image.open(file).convert("RGB").resize((side, side))) for file in files
        ]
        decoding = (time.perf_counter() - start) / len(files)
        on_card = card_decoding(files, setting)
        features = DeepFeatureTransformer(
            name, weights="random", random_state=0, cache=None, device=setting.device,
            batch_size=batch,
        )  # fmt: skip
        features.transform(files[:batch])
        whole = seconds(lambda: features.transform(files), setting) / len(files)
    host = torch.from_numpy(np.stack(decoded[:batch]))
    host = host.pin_memory() if setting.on_card else host
    copying = seconds(lambda: host.to(setting.device), setting) / batch
    network, dtype = network_of(name, setting)
    given = host.to(setting.device).permute(0, 3, 1, 2).to(dtype) / 255
    with torch.inference_mode():
        network(given)
        computing = seconds(lambda: network(given), setting) / batch
        vectors = network(given)
    back = seconds(vectors.cpu, setting) / batch
    parts = {
        "decode, one thread": decoding,
        "copy": copying,
        "forward": computing,
        "copy back": back,
    }
    shown = {f"ms an image: {part}": 1000 * value for part, value in parts.items()}
    one_after_the_other = copying + computing + back + decoding / max(1, torch.get_num_threads())
    return {
        **shown,
        "ms an image: whole pass": 1000 * whole,
        "whole pass over the sum of its parts": whole / one_after_the_other,
        "decoding on the card": on_card,
    }


def card_decoding(files, setting):
    """JPEGs decoded by the card, if torchvision can: milliseconds, and how far pixels are off."""
    if not setting.on_card:
        return "left out: no card"
    data = [
        torch.frombuffer(bytearray(Path(file).read_bytes()), dtype=torch.uint8) for file in files
    ]
    try:
        decode = torchvision.io.decode_jpeg
        decode(data[:2], device=str(setting.device))
        taken = seconds(lambda: decode(data, device=str(setting.device)), setting) / len(data)
        pixels = decode(data[:8], device=str(setting.device))
    except (RuntimeError, TypeError) as exc:
        return f"not there: {str(exc).splitlines()[0]}"
    off = [
        np.abs(
            one.permute(1, 2, 0).cpu().numpy().astype(int) - np.asarray(Image.open(file), dtype=int)
        ).max()
        for one, file in zip(pixels, files[:8], strict=True)
    ]
    return {"ms an image": 1000 * taken, "largest difference of a pixel": int(max(off))}


def memory(setting):
    """Peak of a pass over many images, and memory after each of twenty fits."""
    if not setting.on_card:
        return {"left out": "memory of a card"}
    X = pictures(2000, setting.side)
    torch.cuda.reset_peak_memory_stats()
    transform(
        "resnet50", X, weights="random", random_state=0, cache=None, device=setting.device,
        batch_size=setting.batch,
    )  # fmt: skip
    peak = torch.cuda.max_memory_allocated()
    digits = load_digit_images()
    after = []
    for _ in range(20):
        FineTuneClassifier(
            "tiny", strategy="full", max_epochs=1, device=setting.device, random_state=0
        ).fit(digits.X[:64], digits.y[:64])
        torch.cuda.synchronize()
        after.append(torch.cuda.memory_allocated())
    return {
        "peak of a pass in MB": peak / 1e6,
        "MB after fits 2, 10, 20": [after[i] / 1e6 for i in (1, 9, 19)],
        "ok": after[-1] <= after[1] * 1.02 + 2**20,
    }


def small_batches(setting):
    """What channels_last, CUDA graphs and torch.compile give for batches of 8, with what they cost."""
    name = setting.networks[0]
    network, dtype = network_of(name, setting)
    X = torch.rand(8, 3, setting.side, setting.side, device=setting.device, dtype=dtype)
    found = {}
    with torch.inference_mode():
        last = X.contiguous(memory_format=torch.channels_last)
        for kind, given in (("contiguous", X), ("channels_last", last)):
            network.to(memory_format=getattr(torch, f"{kind}_format", torch.channels_last))
            network(given)
            found[kind] = 8 / seconds(lambda given=given: network(given), setting)
        if setting.on_card:
            found["CUDA graph"] = 8 / seconds(cuda_graph(network, last), setting)
            start = time.perf_counter()
            compiled = torch.compile(network, mode="reduce-overhead")
            compiled(last)
            compiled(last)
            found["seconds of compiling"] = time.perf_counter() - start
            found["torch.compile"] = 8 / seconds(lambda: compiled(last), setting)
    return {(key if "seconds" in key else f"images/s {key}"): value for key, value in found.items()}


def cuda_graph(network, given):
    """A function that runs the network on one batch by replaying a graph of its kernels."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        network(given)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(given)
    return graph.replay


def array_api(setting):
    """Features that go on through scikit-learn on the card, beside the same on the CPU."""
    X, y = pictures(setting.n_trained, setting.side), np.arange(setting.n_trained) % 4
    name = setting.networks[0]
    values = transform(
        name, X, weights="random", random_state=0, cache=None, device=setting.device,
        batch_size=setting.batch,
    )  # fmt: skip
    heads = make_pipeline(StandardScaler(), PCA(min(32, len(X) // 2), svd_solver="full"))
    on_cpu = seconds(lambda: heads.fit_transform(values), setting)
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(values, y)
    rows = {"seconds of scaling and PCA, NumPy": on_cpu, "score": float(head.score(values, y))}
    try:
        with sklearn.config_context(array_api_dispatch=True):
            tensor = torch.from_numpy(values).to(setting.device)
            expected = heads.fit_transform(values)
            found = heads.fit_transform(tensor)
            rows["seconds of scaling and PCA, torch"] = seconds(
                lambda: heads.fit_transform(tensor), setting
            )
        off = np.abs(np.abs(found.cpu().numpy()) - np.abs(expected)).max() / np.abs(expected).max()
        rows["difference"] = float(off)
    except Exception as exc:  # noqa: BLE001 - what scikit-learn cannot do is a finding
        rows["array API"] = f"{type(exc).__name__}: {str(exc).splitlines()[0]}"
    return rows


# ---------------------------------------------------------------------------------------- means


def transform(name, X, **options):
    return DeepFeatureTransformer(name, **options).transform(X)


def pictures(n_images, side):
    """Smooth random pictures (n, side, side, 3), uint8, no two alike."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.random((n_images, 3, 8, 8), dtype=np.float32))
    wide = nn.functional.interpolate(small, (side, side), mode="bilinear")
    return (wide * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def jpegs(n_files, folder, side):
    """Paths of JPEG files half as large again as the network's input."""
    few = [Image.fromarray(image) for image in pictures(64, side * 3 // 2)]
    encoded = []
    for image in few:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        encoded.append(stream.getvalue())
    paths = [Path(folder, f"{i}.jpg") for i in range(n_files)]
    for i, path in enumerate(paths):
        path.write_bytes(encoded[i % len(encoded)] + b"\0" * (1 + i // len(encoded)))
    return paths


def cosines(one, other):
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(1) / lengths


def seconds(function, setting, at_least=0.5, at_most=12):
    """Shortest of several runs; what a card still computes is waited for."""
    taken, start = [], time.perf_counter()
    while len(taken) < 2 or (time.perf_counter() - start < at_least and len(taken) < 200):
        begin = time.perf_counter()
        function()
        if setting.on_card:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
        if time.perf_counter() - start > at_most:
            break
    return min(taken)


def network_of(name, setting):
    """The network alone, without this package's engine, in the precision of the card."""
    dtype = torch.bfloat16 if setting.on_card else torch.float32
    loaded = load_backbone(name, "random", random_state=0)
    module = pickle.loads(pickle.dumps(loaded.module)).eval().to(setting.device, dtype)
    return module.to(memory_format=torch.channels_last), dtype


def resident_speed(name, setting):
    """Images a second of the network, fed with batches that are on the card already."""
    network, dtype = network_of(name, setting)
    given = torch.rand(
        setting.batch, 3, setting.side, setting.side, device=setting.device, dtype=dtype
    ).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(3):
            network(given)
        return setting.batch / seconds(lambda: network(given), setting)


class Files(Dataset):
    """Images read and resized by Pillow, as tutorials do."""

    def __init__(self, paths, side):
        self.paths, self.side = paths, side

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, row):
        image = Image.open(self.paths[row]).convert("RGB").resize((self.side, self.side))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def plain_speed(name, files, setting):
    """Images a second of a plain loop: float32, a DataLoader with workers, no other care."""
    module = load_backbone(name, "random", random_state=0).module
    network = pickle.loads(pickle.dumps(module)).eval().to(setting.device)
    n_workers = 8 if setting.on_card else 0
    start = time.perf_counter()
    with torch.no_grad():
        for batch in DataLoader(Files(files, setting.side), batch_size=32, num_workers=n_workers):
            network(batch.to(setting.device)).cpu()
    return len(files) / (time.perf_counter() - start)


def epoch_by_hand(name, X, y, setting):
    """Seconds of an epoch of a loop by hand under autocast, over data that lie on the card."""
    network, _ = network_of(name, setting)
    network = network.float().train()
    pixels = torch.from_numpy(X).to(setting.device).permute(0, 3, 1, 2)
    labels = torch.from_numpy(y).to(setting.device)
    with torch.no_grad():
        shape = network(pixels[:2].float() / 255).shape
    head = nn.Linear(shape[1], 10).to(setting.device)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=1e-4, fused=True)
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        for rows in torch.randperm(len(X), device=setting.device).split(32):
            with torch.autocast(setting.device.type, torch.bfloat16, enabled=setting.on_card):
                given = pixels[rows].contiguous(memory_format=torch.channels_last).float() / 255
                maps = network(given)
                vectors = maps.flatten(2).mean(2) if maps.dim() == 4 else maps
                loss = nn.functional.cross_entropy(head(vectors).float(), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if setting.on_card:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken)


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


PARTS = (
    features_agree,
    training_runs,
    pickles_travel,
    memory_runs_out,
    modules_of_users_run,
    threads_and_workers_share,
    extraction_speed,
    training_speed,
    time_line,
    memory,
    small_batches,
    array_api,
)


def run(folder, setting, budget_s):
    """Run all parts that begin before the time is over; returns their figures."""
    card = torch.cuda.get_device_name(setting.device) if setting.on_card else platform.processor()
    report = {
        "device": card or platform.machine(), "torch": torch.__version__,
        "torchvision": torchvision.__version__, "parts": {},
    }  # fmt: skip
    print(f"{report['device']}, torch {report['torch']}", flush=True)
    start = time.perf_counter()
    for part in PARTS:
        begin = time.perf_counter()
        if begin - start > budget_s:
            figures = {"left out": "no time was left"}
        else:
            try:
                figures = part(setting)
            except Exception as exc:  # noqa: BLE001 - the next part is to run all the same
                figures = {
                    "failed": f"{type(exc).__name__}: {exc}",
                    "where": traceback.format_exc(),
                }
        figures = rounded(figures) | {"seconds": round(time.perf_counter() - begin, 1)}
        report["parts"][part.__name__] = figures
        print(f"{part.__name__}: {json.dumps(figures, default=str)}", flush=True)
        (folder / "gpu.json").write_text(json.dumps(report, indent=1, default=str))
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where gpu.json is written")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=300, help="no part begins later")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    run(options.folder, setting_for(torch.device(options.device)), options.seconds)


if __name__ == "__main__":
    main()
