"""What do shards, processes and engines cost, beside one process that does it all?

    python benchmarks/inference.py --images 20000 --engines local dask ray spark --kills 20

JPEGs of 96 pixels in tar files, `tiny` and a logistic regression. The base is one run in one process with as many
threads as there are cores. Engines are started before the clock is; results are compared bit by bit.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import re
import signal
import tarfile
import tempfile
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib
import numpy as np
from counting import Counted
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktransfer import DeepFeatureTransformer, batch_inference
from sktransfer.datasets import load_digit_images
from sktransfer.inference.parts import read_record

SIDE, IN_A_TAR, ROWS_WHEN_KILLED = 96, 1000, 50


def make_tars(folder, n_images, n_damaged):
    """Write images and return the rows that are damaged."""
    rng = np.random.default_rng(0)
    digits = load_digit_images().X
    damaged = set(rng.choice(n_images, n_damaged, replace=False).tolist())
    for first in range(0, n_images, IN_A_TAR):
        with tarfile.open(folder / f"{first:07}.tar", "w") as tar:
            for row in range(first, min(first + IN_A_TAR, n_images)):
                image = (
                    Image.fromarray(digits[rng.integers(len(digits))])
                    .convert("RGB")
                    .resize((SIDE, SIDE))
                )
                noisy = np.asarray(image, np.int16) + rng.integers(-20, 21, (SIDE, SIDE, 3))
                file = io.BytesIO()
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
                content = file.getvalue() if row not in damaged else file.getvalue()[:200]
                member = tarfile.TarInfo(f"{row:07}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return sorted(damaged)


@contextmanager
def engine(name, n_workers):
    """Start an engine, and let joblib use it."""
    began = time.perf_counter()
    stop = None
    if name == "dask":
        from dask.distributed import Client

        client = Client(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
        stop = client.close
    elif name == "ray":
        import ray
        from ray.util.joblib import register_ray

        ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False)
        register_ray()
        stop = ray.shutdown
    elif name == "spark":
        from joblibspark import register_spark
        from pyspark.sql import SparkSession

        session = SparkSession.builder.master(f"local[{n_workers}]").getOrCreate()
        register_spark()
        stop = session.stop
    with joblib.parallel_config("loky" if name == "local" else name, n_jobs=n_workers):
        joblib.Parallel()(joblib.delayed(warm)() for _ in range(4 * n_workers))
        print(f"{name}: started in {time.perf_counter() - began:.1f} s", flush=True)
        yield
    if stop is not None:
        stop()


def warm():
    """Load what every worker needs, so that the start of an engine is not counted."""
    import sktransfer.inference

    time.sleep(0.5)
    return sktransfer.inference.__name__


def working_seconds(run):
    """Measure the time from the first image that was read to the last part: the start of workers aside."""
    ended = [part.stat().st_mtime for part in run.parts]
    took = [read_record(part).seconds for part in run.parts]
    return max(ended) - min(end - seconds for end, seconds in zip(ended, took, strict=True))


def results(run):
    return run.table().filter(like="probability").to_numpy()


def peak_memory(model, source, out, n_shards):
    """Measure the peak memory of a process that computes some shards, in MB."""
    queue = multiprocessing.get_context("spawn").Queue()
    worker = multiprocessing.get_context("spawn").Process(
        target=in_a_process, args=(queue, model, source, out, n_shards)
    )
    worker.start()
    peak = queue.get()
    worker.join()
    return peak


def in_a_process(queue, model, source, out, n_shards):
    batch_inference(model, sorted(map(str, source.glob("*.tar")))[:n_shards], out)
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent, too
    queue.put(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)


def driver(model, source, out):
    os.setsid()
    batch_inference(
        model, source, out, method="predict_proba", n_jobs=2, shard_rows=ROWS_WHEN_KILLED
    )


def workers_of(process):
    """Return the numbers of a driver's workers, without the process that only cleans up after them."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, command in commands.items() if b"popen_loky" in command]


def kill_and_go_on(model, source, out, n_kills):
    """Kill a worker, the driver or all of them at random moments of the work, and end the run.

    Returns the run that ended it, and for each kill how many parts were there before and after.
    """
    chance, killed = random.Random(0), 0
    while killed < n_kills:
        before = len(list(out.glob("part-*.parquet")))
        process = multiprocessing.get_context("spawn").Process(
            target=driver, args=(model, source, out)
        )
        process.start()
        while process.exitcode is None and len(list(out.glob("part-*.parquet"))) == before:
            time.sleep(0.02)
        process.join(chance.uniform(0, 1))
        if process.exitcode is not None:
            assert process.exitcode == 0, "the driver failed by itself"
            print(f"all was done after {killed} kills", flush=True)
            break
        victim = ("worker", "driver", "all")[killed % 3]
        if victim == "worker":
            os.kill(chance.choice(workers_of(process)), signal.SIGKILL)
            process.join(60)
            ended = f"exit code {process.exitcode}"
        elif victim == "driver":
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            time.sleep(chance.uniform(0, 3))  # its workers may live on, and write
            ended = "killed"
        else:
            ended = "killed"
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        killed += 1
        parts = len(list(out.glob("part-*.parquet")))
        print(f"{killed}: {victim} ({ended}), {before} parts became {parts}", flush=True)
    return killed, batch_inference(
        model, source, out, method="predict_proba", shard_rows=ROWS_WHEN_KILLED
    )


def search_under(name, n_workers, backing):
    """Compare the scores of a search of 20 settings and 5 folds under an engine with those of one process."""
    digits = load_digit_images()
    search = GridSearchCV(
        make_pipeline(
            DeepFeatureTransformer("tiny", cache=str(backing)), LogisticRegression(max_iter=300)
        ),
        {"logisticregression__C": np.geomspace(1e-3, 1e2, 20)},
        cv=5,
    )
    X, y = digits.X[:300], digits.y[:300]
    wanted = clone(search).fit(X, y).cv_results_
    with engine(name, n_workers):
        found = clone(search).fit(X, y).cv_results_
    scores = [key for key in wanted if "test_score" in key]
    return all(np.array_equal(wanted[key], found[key]) for key in scores)


def print_costs(photographs, networks, scratch):
    """Estimate what a billion images like some photographs would take, a network a line."""
    paths = sorted(str(path) for path in photographs.rglob("*.jpg"))
    for network in networks:
        model = DeepFeatureTransformer(
            network, weights="default" if network == "tiny" else "random", random_state=0
        )
        fitted = make_pipeline(model, LogisticRegression(max_iter=50)).fit(
            paths[:40], np.arange(40) % 2
        )
        file = scratch / f"{network}.joblib"
        joblib.dump(fitted, file)
        batch_inference(file, paths[:64], scratch / f"{network}-warm")
        run = batch_inference(file, paths, scratch / network, shard_rows=200)
        print(f"{network}: {run.estimate(1_000_000_000)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--damaged", type=int, default=50)
    parser.add_argument("--engines", nargs="*", default=["local"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--searches", nargs="*", default=[])
    parser.add_argument(
        "--costs", type=Path, metavar="FOLDER", help="photographs; nothing else runs"
    )
    parser.add_argument("--networks", nargs="*", default=["tiny", "mobilenet_v2", "resnet50"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        folder, source = Path(scratch), Path(scratch, "tars")
        if options.costs is not None:
            print_costs(options.costs, options.networks, folder)
            return
        source.mkdir()
        damaged = make_tars(source, options.images, options.damaged)
        digits = load_digit_images()
        model = folder / "model.joblib"
        pipeline = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=1000))
        joblib.dump(pipeline.fit(digits.X[:300], digits.y[:300]), model)

        some = sorted(map(str, source.glob("*.tar")))[:2]
        batch_inference(model, some, folder / "warm", method="predict_proba")
        estimated = batch_inference(model, some, folder / "some", method="predict_proba")
        base = batch_inference(model, source, folder / "base", method="predict_proba")
        wanted = results(base)
        guess = estimated.estimate(base.n_rows_).hours * 3600
        print(
            f"one process: {base.seconds_:.1f} s; {guess / base.seconds_:.3f} of that was estimated",
            flush=True,
        )
        print(
            f"damaged: {base.failed_ == damaged}, {base.table()['error'].notna().sum()} rows with a reason"
        )
        for name in options.engines:
            with engine(name, options.workers):
                # As the one process did before its clock started: every worker loads the model.
                warmed = folder / f"{name}-warm"
                batch_inference(model, some, warmed, method="predict_proba", shard_rows=200)
                run = batch_inference(model, source, folder / name, method="predict_proba")
            same = np.array_equal(results(run), wanted, equal_nan=True)
            ratio = working_seconds(run) / working_seconds(base)
            print(
                f"{name}: {run.seconds_:.1f} s, {run.seconds_ / base.seconds_:.3f} of one process, or "
                f"{ratio:.3f} without the start of its workers; same bits: {same}",
                flush=True,
            )
        few, many = (
            peak_memory(model, source, folder / f"memory{n}", n)
            for n in (2, options.images // IN_A_TAR)
        )
        print(
            f"peak memory: {few:.0f} MB for 2 shards, {many:.0f} MB for all ({many / few:.3f})",
            flush=True,
        )
        if options.kills:
            log = folder / "blocks"
            counted = folder / "counted.joblib"
            pipeline.steps.insert(1, ("counted", Counted(str(log))))
            joblib.dump(pipeline, counted)
            killed, run = kill_and_go_on(counted, source, folder / "killed", options.kills)
            same = np.array_equal(results(run), wanted, equal_nan=True)
            lines = log.read_text().split()
            again = len(lines) - len(run.parts) - len(set(lines))  # one for each start: an example
            print(
                f"after {killed} kills: {run.n_rows_} rows, same bits: {same}; {len(run.parts)} parts, and "
                f"{again} were computed again",
                flush=True,
            )
        for name in options.searches:
            same = search_under(name, options.workers, folder / "store")
            print(f"search of 20 x 5 under {name}: same scores: {same}", flush=True)


if __name__ == "__main__":
    main()
