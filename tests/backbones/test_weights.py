import functools
import http.server
import pickle
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sktransfer.backbones import clear_backbones, get_backbone, load_backbone
from sktransfer.backbones.spec import WeightsSource
from sktransfer.backbones.tiny import tiny
from sktransfer.backbones.weights import digest_of
from sktransfer.exceptions import WeightsError, WeightsMismatchError, WeightsNotFoundError

RESULTS = Path(__file__).parents[2] / "benchmarks" / "RESULTS.md"


pytestmark = pytest.mark.usefixtures("empty_caches")


@pytest.fixture
def state():
    torch.manual_seed(0)
    return tiny(num_classes=7).state_dict()


def _body(module):
    return {
        k: v
        for k, v in module.state_dict().items()
        if not k.startswith("fc.") and "num_batches" not in k
    }


def _same(module, state):
    return all(torch.equal(value, state[key].float()) for key, value in _body(module).items())


def test_weights_are_the_files_in_inference_mode(state, tmp_path):
    save_file(state, tmp_path / "own.safetensors")
    loaded = load_backbone("tiny", tmp_path / "own.safetensors")
    assert _same(loaded.module, state)
    assert not loaded.module.training
    assert not any(parameter.requires_grad for parameter in loaded.module.parameters())
    assert load_backbone("tiny", tmp_path / "own.safetensors") is loaded


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s},
        lambda s: {f"module.{key}": value for key, value in s.items()},
        lambda s: {key: value for key, value in s.items() if not key.startswith("fc.")},
        lambda s: {key: value for key, value in s.items() if "num_batches" not in key},
        lambda s: {
            key: value.half() if value.is_floating_point() else value for key, value in s.items()
        },
    ],
)
@pytest.mark.parametrize("suffix", ["pth", "pt"])
def test_files_of_trainers_are_read_in_their_usual_forms(wrap, suffix, state, tmp_path):
    path = tmp_path / f"checkpoint.{suffix}"
    torch.save(wrap(state), path)
    module = load_backbone("tiny", path).module
    rounded = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    assert _same(module, state) or _same(module, rounded)
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())


def test_a_file_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('executed')",))

    path = tmp_path / "bomb.pth"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match=r"bomb\.pth cannot be read as weights"):
        load_backbone("tiny", path)
    torch.save({"state_dict": Bomb()}, path)
    with pytest.raises(WeightsError, match=r"bomb\.pth cannot be read as weights"):
        load_backbone("tiny", path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x80" * 100, b"PK\x03\x04" + bytes(50)])
def test_a_damaged_file_is_told(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{re.escape(name)} cannot be read as weights"):
        load_backbone("tiny", tmp_path / name)


def test_a_file_cut_short_is_told(state, tmp_path):
    path = tmp_path / "cut.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_backbone("tiny", path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(WeightsNotFoundError, match=r"there is no file .*none\.pth. Check the path"):
        load_backbone("tiny", tmp_path / "none.pth")


def test_weights_of_another_network_are_told_with_the_one_they_fit(tmp_path):
    save_file(get_backbone("resnet18").build().state_dict(), tmp_path / "some.safetensors")
    with pytest.raises(
        WeightsMismatchError, match=r"do not fit resnet34.*missing.*They fit backbone='resnet18'"
    ):
        load_backbone("resnet34", tmp_path / "some.safetensors")


def test_missing_and_unexpected_names_are_reported(state, tmp_path):
    changed = {key: value for key, value in state.items() if key != "layer1.0.conv1.weight"}
    changed["extra.weight"] = torch.zeros(1)
    changed["stem.0.weight"] = torch.zeros(1)
    torch.save(changed, tmp_path / "w.pth")
    message = (
        r"1 missing \(layer1\.0\.conv1\.weight\), 1 unexpected \(extra\.weight\), 1 of another shape "
        r"\(stem\.0\.weight is \(1,\), not \(32, 3, 3, 3\)\)"
    )
    with pytest.raises(WeightsMismatchError, match=message):
        load_backbone("tiny", tmp_path / "w.pth")


def test_an_unknown_name_of_weights_lists_the_possible_ones():
    with pytest.raises(
        WeightsError,
        match=r"weights='IMAGENET1K_V3' is not possible for resnet50\. Nearest: 'IMAGENET1K_V2'\. "
        r"Possible: 'default', 'IMAGENET1K_V2', 'IMAGENET1K_V1', 'random'",
    ):
        load_backbone("resnet50", "IMAGENET1K_V3")


def test_random_weights_follow_their_seed_and_leave_torchs_alone():
    before = torch.get_rng_state()
    digests = [load_backbone("tiny", "random", random_state=seed).digest for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert digests[0] == digests[1]
    assert digests[1] != digests[2]
    unseeded = [load_backbone("tiny", "random").digest for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_a_digest_is_of_everything_features_depend_on(state):
    spec = get_backbone("tiny")
    changed = {key: value.clone() for key, value in state.items()}
    changed["layer2.0.bn1.running_var"][3] += 1e-3
    head = {
        **state,
        "fc.weight": torch.zeros(2, 256),
        "layer1.0.bn1.num_batches_tracked": torch.tensor(5),
    }
    assert digest_of(changed, spec) != digest_of(state, spec)
    assert digest_of(head, spec) == digest_of(state, spec)


def test_the_bundled_weights_are_the_ones_that_were_measured():
    # benchmarks/RESULTS.md names this digest beside the figures of the probe.
    results = (
        __import__("pathlib").Path(__file__).parents[2] / "benchmarks" / "RESULTS.md"
    ).read_text(encoding="utf-8")
    assert load_backbone("tiny").digest in results


# --- downloads, from a server on this machine ------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def _published(url):
    spec = get_backbone("tiny")
    return replace(spec, name="published", weights={"V1": WeightsSource(url=url)})


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hub" / "checkpoints"


def test_named_weights_are_downloaded_once(server, hub, state, capsys):
    folder, address = server
    torch.save(state, folder / "w.pth")
    assert _same(load_backbone(_published(f"{address}/w.pth")).module, state)
    n_bytes = (hub / "w.pth").stat().st_size
    said = capsys.readouterr().err
    assert f"the weights V1 of published, {n_bytes / 1e6:,.0f} MB, from {address}/w.pth" in said
    (folder / "w.pth").unlink()
    clear_backbones()
    assert _same(load_backbone(_published(f"{address}/w.pth")).module, state)


def test_what_was_damaged_on_the_way_is_not_kept(server, hub, state, capsys):
    folder, address = server
    torch.save(state, folder / "w-0123abcd.pth")
    with pytest.raises(WeightsError, match="the weights V1 of published were damaged on the way"):
        load_backbone(_published(f"{address}/w-0123abcd.pth"))
    assert not list(hub.glob("*.pth"))


def test_an_answer_that_is_no_file_is_told(server):
    _, address = server
    with pytest.raises(WeightsNotFoundError, match="the server answered 404"):
        load_backbone(_published(f"{address}/none.pth"))


def test_without_a_network_the_error_says_what_to_do(hub):
    hub.mkdir(parents=True)
    (hub / "other.pth").touch()
    message = (
        "the weights IMAGENET1K_V2 of resnet50 are not in the cache folder and could not be "
        'downloaded (no network). Pass weights="path/to/resnet50.safetensors", or backbone="tiny" '
        "for the small network that ships with sktransfer; or fetch 'resnet50-11ad3fa6.pth' from "
        "https://download.pytorch.org/models/resnet50-11ad3fa6.pth elsewhere and put it into "
        f"{str(hub)!r}, which holds 'other.pth'."
    )
    with pytest.raises(WeightsNotFoundError, match=re.escape(message)):
        load_backbone("resnet50")


ODD = {
    "of complex numbers": lambda value: value.to(torch.complex64),
    "in the sparse layout torch.sparse_coo": lambda value: value.to_sparse(),
    "of the quantised type torch.qint8": lambda value: torch.quantize_per_tensor(
        value, 0.1, 0, torch.qint8
    ),
}


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor:")
@pytest.mark.parametrize("kind", ODD)
def test_weights_of_odd_kinds_are_told_by_their_name(state, tmp_path, kind):
    key = "layer1.0.conv1.weight"
    torch.save(state | {key: ODD[kind](state[key])}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=re.escape(f"w.pth holds weights {kind} ({key!r})")):
        load_backbone("tiny", tmp_path / "w.pth")


def test_weights_that_are_not_finite_are_refused(state, tmp_path):
    key = next(key for key, value in state.items() if value.ndim == 4)
    state[key][0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    save_file(state, tmp_path / "w.safetensors")
    message = (
        f"of tiny hold NaN or infinite values: 2 of the {state[key].numel()} values of {key!r}"
    )
    with pytest.raises(WeightsError, match=re.escape(message)):
        load_backbone("tiny", tmp_path / "w.safetensors")
    network = tiny(num_classes=7)
    network.load_state_dict(state)
    with pytest.raises(WeightsError, match="hold NaN or infinite values"):
        load_backbone(network)


def test_a_negative_variance_is_refused_and_a_head_may_hold_anything(state, tmp_path):
    save_file(state | {"fc.weight": state["fc.weight"] * float("nan")}, tmp_path / "a.safetensors")
    load_backbone("tiny", tmp_path / "a.safetensors")
    key = next(key for key in state if key.endswith("running_var"))
    save_file(state | {key: state[key] - 2}, tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match="hold variances below 0, NaN or infinite"):
        load_backbone("tiny", tmp_path / "b.safetensors")


def test_weights_of_timm_are_refused_at_once_without_a_network(monkeypatch):
    pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub")

    def no_network(*_, **__):
        raise ConnectionError("no route")

    def retry(*_, **__):
        raise AssertionError("timm's loader, which tries for a minute, was asked")

    monkeypatch.setattr(hub, "get_hf_file_metadata", no_network)
    monkeypatch.setattr("timm.models._builder.load_pretrained", retry)
    with pytest.raises(WeightsNotFoundError, match=r"timm:resnet10t are not .*\(no network\)"):
        load_backbone("timm:resnet10t")
