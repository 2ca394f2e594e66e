"""The benchmarks run, at sizes that measure nothing, and print and save their tables."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

RUNS = {
    "extraction": "--networks mobilenet_v3_small --images 4 --rounds 1",
    "grid_search": "--network tiny --images 20",
    "store": "--only cost --cost-images 2 --images 8 --rounds 1",
    "memory": "--numbers 8",
    "finetuning": "--only speed --networks mobilenet_v3_small --images 4 --epochs 1 --full-epochs 1",
    "ranking": "--size 300 20 --images 50 --rounds 1",
    "audit": "--images 60 --copies 2",
    "domain_adaptation": "--only blobs --seeds 0 --methods DANN",
    "unsupervised_choice": "--only blobs --seeds 0 --methods source_accuracy --epochs 4",
    "adaptation_speed": "--rounds 1 --images 64 --batch-size 16",
    "export": "--images 4 --networks tiny --families --heads 1 --sides --segmenters fcn32s",
    "transformers": "--only partial --networks timm:test_vit --images 6 --epochs 1 --rounds 1",
    "comparison": "--images 60 --cv 2 --max-epochs 1 --candidates frozen",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.filterwarnings("default")
def test_benchmark_runs(name, tmp_path, monkeypatch, capsys):
    # Here and not in a process of its own, which would first load for seconds what is loaded.
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *RUNS[name].split(), "--out", str(out)])
    monkeypatch.syspath_prepend(BENCHMARKS)
    n_threads = torch.get_num_threads()
    try:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    finally:
        torch.set_num_threads(n_threads)
    printed = capsys.readouterr().out
    saved = json.loads(out.read_text(encoding="utf-8"))
    assert saved["rows"]
    assert "torch" in saved["machine"]
    for column in saved["rows"][0]:
        assert f"| {column} |" in printed or f" {column} |" in printed


@pytest.mark.slow
def test_the_trial_of_a_card_runs_on_a_cpu_and_each_part_tells_its_figures(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), str(tmp_path), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    parts = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["parts"]
    assert len(parts) == 12
    for name, figures in parts.items():
        assert "failed" not in figures, (name, figures)
        assert figures.get("ok", True), (name, figures)
        assert f"{name}: " in done.stdout
    assert parts["extraction_speed"]["tiny"]["images/s from arrays"] > 0
    assert parts["array_api"]["difference"] < 1e-3
