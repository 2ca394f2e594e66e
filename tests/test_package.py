import re
import subprocess
import sys
from importlib import metadata
from importlib.resources import files
from pathlib import Path

import pytest

import sktransfer

PACKAGE = Path(sktransfer.__file__).parent

# All public names. A new one is added here and to CHANGELOG.md.
PUBLIC = {
    "BackboneSpec",
    "BatchPredictor",
    "DANNClassifier",
    "DeepCORALClassifier",
    "DeepFeatureTransformer",
    "DistilledFeatureTransformer",
    "DomainAlignedClassifier",
    "DomainsDisplay",
    "EmbeddingDisplay",
    "ExportReport",
    "FeatureLearningCurveDisplay",
    "FineTuneClassifier",
    "FineTuneRegressor",
    "FineTuneSegmenter",
    "InferenceRun",
    "LabeledClassifier",
    "LabeledFold",
    "LayerSweepDisplay",
    "MMDClassifier",
    "MaskScorer",
    "NeighborSelfTrainingClassifier",
    "NeighborSmoother",
    "PixelClassifier",
    "Recommendation",
    "SaliencyDisplay",
    "SaliencyMaps",
    "SegmentationDisplay",
    "StrategyComparison",
    "StrategyComparisonDisplay",
    "TRUSTED_TYPES",
    "UnsupervisedScorer",
    "audit_images",
    "batch_inference",
    "compare_strategies",
    "export_onnx",
    "find_regions",
    "layer_ensemble",
    "list_backbones",
    "load_model",
    "proxy_a_distance",
    "rank_backbones",
    "recommend_strategy",
    "register_backbone",
    "saliency_maps",
    "save_model",
}


def test_the_public_names_are_exactly_these_and_all_exist():
    assert set(sktransfer.__all__) == PUBLIC | {"__version__"}
    assert all(hasattr(sktransfer, name) for name in sktransfer.__all__)
    assert list(sktransfer.__all__) == sorted(set(sktransfer.__all__))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'DeepFeatureTransformr'"):
        sktransfer.DeepFeatureTransformr  # noqa: B018 - the access is the test


def test_the_version_is_that_of_the_installed_package():
    assert sktransfer.__version__ == metadata.version("sktransfer")


def test_the_citation_names_this_version():
    citation = (PACKAGE.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sktransfer.__version__}\n" in citation


def test_the_marker_of_types_ships():
    assert files("sktransfer").joinpath("py.typed").is_file()


@pytest.mark.parametrize("statement", ["import sktransfer", "from sktransfer import *"])
def test_import_loads_no_library_that_most_users_do_not_need(statement):
    # scikit-learn 1.9 imports pandas by itself where it is installed; what the three libraries
    # below bring along anyway is not our doing.
    code = (
        "import sys, sklearn.base, torch, torchvision\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "heavy = {'matplotlib', 'timm', 'skorch', 'pandas'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_features_of_the_bundled_network_need_no_torchvision():
    code = (
        "import sys, numpy, sktransfer\n"
        "features = sktransfer.DeepFeatureTransformer('tiny')\n"
        "features.fit_transform(numpy.zeros((2, 64, 64, 3), numpy.uint8))\n"
        "print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_importing_leaves_the_global_state_of_the_libraries_alone():
    code = (
        "import random, warnings, numpy, torch, sklearn, logging\n"
        "def state():\n"
        "    return (random.getstate(), numpy.random.get_state()[1].tolist(),\n"
        "            torch.get_rng_state().tolist(), torch.get_num_threads(),\n"
        "            warnings.filters[:],\n"
        "            torch.is_grad_enabled(), torch.get_default_dtype(), sklearn.get_config(),\n"
        "            logging.root.handlers[:])\n"
        "import torchvision\n"
        "before = state()\n"
        "import sktransfer\n"
        "print([a == b for a, b in zip(before, state())])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([True] * 9)


def test_no_file_has_a_name_that_says_nothing():
    forbidden = re.compile(r"_?(utils?|helpers?|common|base|misc)")
    assert not [path for path in PACKAGE.rglob("*.py") if forbidden.fullmatch(path.stem)]


def test_every_module_says_its_idea_in_its_first_line():
    for path in PACKAGE.rglob("*.py"):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        assert re.match(r'r?"""[A-Z`]', first), f"{path} begins with {first!r}"
