"""A crafted file of skops is refused or harmless: nothing runs, is imported, written or fetched."""

import io
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import DeepFeatureTransformer, load_model, save_model
from sktransfer.exceptions import ExportError, SkTransferError, WeightsNotFoundError

pytest.importorskip("skops", reason="the extra skops is not installed")

IMAGES = np.zeros((2, 8, 8), dtype=np.uint8)


def node(loader, module="builtins", name="str", **more):
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 99, **more}


def text(value):
    return node("JsonNode", content=json.dumps(value), is_json=True)


def pairs(**values):
    keys = node(
        "ListNode", "builtins", "list", content=[node("TypeNode", name="str") for _ in values]
    )
    return node("DictNode", "builtins", "dict", content=values, key_types=keys)


EVERYTHING = node("TupleNode", "builtins", "tuple", content=[text("touch written")])

# Each takes the place of the parameter `backbone` in a file of a transformer.
NODES = {
    "foreign type": node("ObjectNode", "subprocess", "Popen", content=pairs(args=text("ls"))),
    "function": node("FunctionNode", "os", "system", content=text("os.system")),
    "function of this package": node(
        "FunctionNode", "sktransfer.writing", "whole_file", content=text("")
    ),
    "type": node("TypeNode", "subprocess", "Popen"),
    "method": node("MethodNode", "os", "system", content={"func": "system", "obj": text("x")}),
    "partial": node(
        "PartialNode",
        "functools",
        "partial",
        content={
            "func": node("FunctionNode", "os", "system", content=text("")),
            "args": EVERYTHING,
            "kwds": pairs(),
            "namespace": pairs(),
        },
    ),
    "constructor": node("ConstructorFromReduceNode", "subprocess", "Popen", content=EVERYTHING),
    "reduce": node(
        "ReduceNode",
        "os",
        "system",
        reduce={"args": EVERYTHING},
        content=pairs(),
    ),
    "operator": node("OperatorFuncNode", "operator", "methodcaller", attrs=EVERYTHING),
    "module that is not loaded": node("ObjectNode", "crafted_module", "Thing", content=pairs()),
    "network": node("ObjectNode", "torch.nn.modules.container", "Sequential", content=pairs()),
    "program of this package": node(
        "FunctionNode", "sktransfer.cli.program", "main", content=text("")
    ),
    "unknown kind": node("NoSuchNode"),
    "array with a pickle": node("NdArrayNode", "numpy", "ndarray", type="numpy", file="pickle.npy"),
    "eval": node("FunctionNode", "builtins", "eval", content=text("open('written', 'w')")),
    "type eval": node("TypeNode", "builtins", "eval"),
    "object of eval": node("ObjectNode", "builtins", "eval", content=EVERYTHING),
    "array of another class": node(
        "NdArrayNode", "subprocess", "Popen", type="numpy", file="letters.npy"
    ),
    "array of objects": node(
        "NdArrayNode",
        "numpy",
        "ndarray",
        type="json",
        content=[node("FunctionNode", "os", "system", content=text(""))],
        shape=text([1]),
    ),
    "array that no memory holds": node(
        "NdArrayNode", "numpy", "ndarray", type="numpy", file="endless.npy"
    ),
    "array that is not in the file": node(
        "NdArrayNode", "numpy", "ndarray", type="numpy", file="/etc/hostname"
    ),
    "a link": node("NdArrayNode", "numpy", "ndarray", type="numpy", file="link.npy"),
    "path outside": node("NdArrayNode", "numpy", "ndarray", type="numpy", file="../../outside.npy"),
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Give a function that writes a changed file, in a folder in which nothing else may appear."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crafted_module.py").write_text("open('written', 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "model.skops"

    def write(change, model=None, more=None, compression=zipfile.ZIP_STORED):
        save_model(DeepFeatureTransformer("tiny").fit(IMAGES) if model is None else model, path)
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        schema = json.loads(files["schema.json"])
        change(schema)
        files |= {"schema.json": json.dumps(schema).encode(), **(more or {})}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    yield write
    assert {file.name for file in tmp_path.iterdir()} <= {
        "model.skops",
        "crafted_module.py",
        "bomb.pth",
    }
    assert "crafted_module" not in sys.modules


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


class Bomb:
    def __reduce__(self):
        return os.system, ("touch written",)


def parameters(schema):
    return schema["content"]["content"]


@pytest.mark.parametrize("kind", NODES)
def test_a_crafted_node_is_refused(kind, written):
    arrays = {
        "pickle.npy": npy(np.array([Bomb()], dtype=object)),
        "letters.npy": npy(np.array(["touch written"])),
        "endless.npy": npy(np.zeros(10**6, "u1")[:0]).replace(b"(0,)", b"(9" + b"0" * 13 + b",)"),
        "../outside.npy": b"",
    }
    path = written(lambda schema: parameters(schema).update(backbone=NODES[kind]), more=arrays)
    with pytest.raises(ExportError, match=r"not among TRUSTED_TYPES|cannot be loaded"):
        load_model(path)


def test_a_file_that_was_written_by_hand_in_the_same_way_loads(written):
    path = written(lambda schema: parameters(schema).update(backbone=text("tiny")))
    assert load_model(path).transform(IMAGES).shape == (2, 256)


def test_a_file_cannot_widen_the_list_of_trusted_types(written):
    def change(schema):
        schema["trusted"] = ["subprocess.Popen"]
        parameters(schema).update(
            backbone=NODES["foreign type"], TRUSTED_TYPES=text(["subprocess"])
        )

    with pytest.raises(ExportError, match=r"holds subprocess\.Popen"):
        load_model(written(change))


@pytest.mark.parametrize("protocol", [-1, 10**6, "2", None])
def test_another_version_of_the_format_is_refused(protocol, written):
    path = written(lambda schema: schema.update(protocol=protocol))
    with pytest.raises(ExportError, match="cannot be loaded"):
        load_model(path)


def test_a_cache_folder_is_not_made(written):
    path = written(lambda schema: parameters(schema).update(cache=text("folder")))
    load_model(path).transform(IMAGES)


def test_a_folder_of_pickles_is_not_read_by_a_pipeline(written):
    model = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression())
    path = written(lambda schema: parameters(schema).update(memory=text("folder")), model)
    load_model(path).fit(IMAGES + np.arange(2, dtype=np.uint8)[:, None, None], [0, 1])


def test_a_path_of_weights_is_read_without_running_it(written, tmp_path):
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
    torch.save(Bomb(), tmp_path / "bomb.pth")
    path = written(lambda schema: parameters(schema).update(weights=text("bomb.pth")))
    with pytest.raises(SkTransferError, match=r"bomb\.pth"):
        load_model(path).transform(IMAGES)


@pytest.mark.parametrize(
    "weights", ["/elsewhere/mine.pth", "../mine.pth", "https://crafted.org/w.pth"]
)
def test_weights_elsewhere_are_looked_for_among_files_alone(weights, written):
    path = written(lambda schema: parameters(schema).update(weights=text(weights)))
    with pytest.raises(SkTransferError, match=r"mine\.pth|w\.pth"):
        load_model(path).transform(IMAGES)


def test_a_file_does_not_choose_the_device(written):
    path = written(lambda schema: parameters(schema).update(device=text("cuda:7")))
    assert load_model(path).device == "auto"


def test_a_function_of_another_step_is_refused(written):
    model = make_pipeline(FunctionTransformer(np.abs), DeepFeatureTransformer("tiny"))

    def change(schema):
        schema.update(json.loads(json.dumps(schema).replace('"absolute"', '"load"')))

    with pytest.raises(ExportError, match=r"holds numpy\.load"):
        load_model(written(change, model))


@pytest.mark.parametrize(
    ("field", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 10**6), ("feature_idx", -1)]
)
def test_a_tree_whose_nodes_lead_out_of_it_is_refused(field, value, tmp_path):
    # scikit-learn follows the numbers unchecked: beyond the array, or without end.
    path = tmp_path / "model.skops"
    model = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=2)
    save_model(model.fit(np.arange(40.0).reshape(20, 2), np.arange(20) % 2), path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            array = np.load(io.BytesIO(content)) if name.endswith(".npy") else np.zeros(1)
            if array.dtype.names:
                array[field][0] = value
                content = npy(array)
            archive.writestr(name, content)
    with pytest.raises(ExportError, match="whose nodes lead out of it"):
        load_model(path)


@pytest.mark.parametrize("backbone", ["resnet50", "timm:resnet18", "timm:hf_hub:somebody/network"])
def test_weights_that_are_not_here_are_not_fetched(backbone, written, tmp_path, monkeypatch):
    pytest.importorskip("timm", reason="the extra timm is not installed")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "nowhere"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "nowhere"))
    path = written(lambda schema: parameters(schema).update(backbone=text(backbone)))
    with pytest.raises(
        (WeightsNotFoundError, SkTransferError), match=r"not on this machine|not a network"
    ):
        load_model(path)


def test_a_file_that_would_fill_the_memory_is_refused(written):
    path = written(lambda _: None, more={"zeros": bytes(2**27)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ExportError, match="would take 1342"):
        load_model(path)


@pytest.mark.parametrize("loader", ["ListNode", "CachedNode"])
def test_parts_that_double_each_other_at_every_level_are_refused(loader, written):
    def change(schema):
        inner = {**node("ListNode", "builtins", "list", content=[]), "__id__": 1000}
        for level in range(1001, 1060):
            again = {**node(loader, "builtins", "list", content=[]), "__id__": level - 1}
            inner = {
                **node("ListNode", "builtins", "list", content=[inner, again]),
                "__id__": level,
            }
        parameters(schema).update(layers=inner)

    with pytest.raises(ExportError, match="refer to each other so often"):
        load_model(written(change))


def test_a_file_nested_without_end_is_refused(written):
    def change(schema):
        inner = text("tiny")
        for _ in range(300):
            inner = node("ListNode", "builtins", "list", content=[inner])
        parameters(schema).update(backbone=inner)

    with pytest.raises((ExportError, TypeError), match=r"cannot be loaded|backbone="):
        load_model(written(change)).transform(IMAGES)


def test_of_two_schemas_that_one_is_checked_which_is_loaded(written):
    path = written(lambda schema: parameters(schema).update(backbone=text("tiny")))
    bad = written(lambda schema: parameters(schema).update(backbone=NODES["foreign type"]))
    with zipfile.ZipFile(bad) as archive:
        schema = archive.read("schema.json")
    written(lambda _: None)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("schema.json", schema)
    with pytest.raises(ExportError, match=r"holds subprocess\.Popen"):
        load_model(path)


def test_a_link_in_the_archive_is_not_followed(written):
    path = written(lambda schema: parameters(schema).update(backbone=NODES["a link"]))
    link = zipfile.ZipInfo("link.npy")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(ExportError, match="cannot be loaded"):
        load_model(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"not an archive", pickle.dumps("a model")],
    ids=["empty", "beginning", "text", "pickle"],
)
def test_what_is_no_file_of_skops_is_refused(content, tmp_path):
    (tmp_path / "model.skops").write_bytes(content)
    with pytest.raises(ExportError, match="It must be a file that save_model wrote"):
        load_model(tmp_path / "model.skops")


def test_a_truncated_file_is_refused(written):
    path = written(lambda _: None)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ExportError, match="cannot be loaded"):
        load_model(path)
