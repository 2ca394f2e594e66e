"""Pre-training of `tiny`: what it asks for, and that runs resume, repeat and keep their records."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ["--systems", "20", "--variants", "1", "--textures", "10", "--batch-size", "16", "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def pretrain():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import pretrain_tiny
    finally:
        sys.path.remove(str(BENCHMARKS))
    return pretrain_tiny


@pytest.fixture
def options(tmp_path):
    return argparse.Namespace(
        device="cpu", seed=0, systems=20, variants=1, textures=10, batch_size=16, lr=1e-3, weight_decay=0.02,
        temperature=0.2, similarity=1.0, contrast=0.1, minutes=0.02, data=None, probe_minutes=5.0,
        checkpoint=tmp_path / "run.pt", images=None,
    )  # fmt: skip


def test_features_with_the_similarities_of_their_targets_do_not_mismatch(pretrain):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(12, 6, generator=generator)
    turned = targets @ torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    assert pretrain.mismatch(torch.cat([turned, turned], 1), targets) < 1e-10
    assert pretrain.mismatch(targets[torch.randperm(12, generator=generator)], targets) > 0.5


def test_contrast_is_low_only_where_the_two_views_of_a_scene_meet(pretrain):
    scenes = torch.eye(8)
    assert pretrain.contrast(torch.cat([scenes, scenes]), 0.05) < 1e-6
    assert pretrain.contrast(torch.cat([scenes, scenes.roll(1, 0)]), 0.05) > 10


def test_the_rate_warms_up_peaks_and_decays_to_zero(pretrain):
    rates = [pretrain.rate(progress / 100) for progress in range(101)]
    assert rates[0] == 0
    assert max(rates) == rates[3] == 1
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(0)


def test_every_part_of_the_objective_reaches_the_network(pretrain, options):
    torch.manual_seed(0)
    learner = pretrain.Learner()
    images = torch.rand(8, 3, 32, 32)
    losses = {}
    for name in ("none", "similarity", "contrast"):
        options.similarity, options.contrast = (
            float(name == "similarity"),
            float(name == "contrast"),
        )
        learner.zero_grad()
        loss = pretrain.objective(learner, images, options)
        loss.backward()
        losses[name] = loss.item()
        assert learner.net.stem[0].weight.grad.abs().max() > 0
    assert losses["similarity"] > losses["none"]
    assert losses["contrast"] > losses["none"]


def test_an_interrupted_run_goes_on_where_it_was_saved(pretrain, options):
    net, first = pretrain.train(options)
    assert first["steps"] > 0
    again, same = pretrain.train(options)  # its minutes are over: nothing more is trained
    assert same["steps"] == first["steps"]
    torch.testing.assert_close(again.state_dict(), net.state_dict())
    options.minutes = first["elapsed_s"] / 60 + 0.001
    _, second = pretrain.train(options)
    assert second["steps"] > first["steps"]
    assert second["images"] == 16 * second["steps"]
    assert second["elapsed_s"] >= 60 * options.minutes > first["elapsed_s"]


def test_the_rate_follows_the_images_if_their_number_is_given(pretrain, options):
    options.images, options.minutes = 100, 2.0
    state = {"images": 25, "elapsed_s": 90.0}
    assert pretrain.progress(state, options) == 0.25
    assert pretrain.progress({**state, "elapsed_s": 121.0}, options) >= 1
    options.images = None
    assert pretrain.progress(state, options) == 0.75


@pytest.mark.slow
def test_the_same_command_makes_the_same_weights_and_records_itself(tmp_path):
    def run(out: Path) -> dict[str, str]:
        command = [
            sys.executable,
            str(BENCHMARKS / "pretrain_tiny.py"),
            *SMALL,
            "--images",
            "48",
            "--out",
            str(out),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        with safe_open(out, "pt") as file:
            assert file.get_tensor("stem.0.weight").dtype == torch.float16
            return file.metadata()

    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    record = run(first)
    assert record["images_seen"] == "48"
    assert record["seed"] == "0"
    assert "--images 48" in record["command"]
    assert {"commit", "n_systems", "recipe", "probe"} <= set(record)
    assert record["images_seen"] == run(second)["images_seen"]
    assert first.stat().st_size < 7_000_000
    one, two = load_file(first), load_file(second)
    assert all(torch.equal(one[name], two[name]) for name in one)
