import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from sktransfer import (
    DANNClassifier,
    DeepFeatureTransformer,
    PixelClassifier,
    StrategyComparisonDisplay,
    compare_strategies,
)
from sktransfer.datasets import load_digit_masks
from sktransfer.raw_pixels import PixelTransformer
from sktransfer.report import render_report
from sktransfer.report.answer import answer_section
from sktransfer.report.findings import audit_section
from sktransfer.report.reproduction import code_of

RESULTS = pd.DataFrame(
    {
        "candidate": ["features + SVM", "frozen", "raw <pixels>"],
        "strategy": ["features", "frozen", "raw pixels"],
        "best_params": [{"head__C": 10}, {}, {}],
        "score_mean": [0.952, 0.944, 0.661],
        "score_std": [0.006, 0.013, 0.04],
        "p_value": [np.nan, 0.31, 0.0004],
        "n_settings": [4, 1, 1],
        "fit_seconds": [2.5, 0.4, 0.2],
        "predict_seconds": [0.1, 0.2, 0.01],
        "search_seconds": [75.0, 30.0, 4.0],
        "peak_memory_bytes": [2.5e8, 1.2e9, np.nan],
        "size_bytes": [12345.0, 8.9e6, 2e4],
    }
)
MISTAKES = pd.DataFrame(
    {
        "image": [17, 4, 17],
        "fold": [0, 1, 5],
        "label": ["one", "two", "one"],
        "predicted": ["two", None, "two"],
        "confidence": [0.9, 0.8, 0.7],
    }
)
FOLDS = pd.DataFrame({name: [0.9, 0.95] for name in RESULTS["candidate"]})


@pytest.fixture(scope="module")
def images(digits):
    rows = np.concatenate([np.flatnonzero(digits.y == digit)[:20] for digit in range(3)])
    return digits.X[rows], np.array(["nil", "one", "two"])[digits.y[rows]]


@pytest.fixture(scope="module")
def comparison(images):
    model = Pipeline(
        [
            ("features", DeepFeatureTransformer("tiny")),
            ("scale", StandardScaler()),
            ("head", SVC(C=10)),
        ]
    )
    search = GridSearchCV(model, {"head__C": [10]}, cv=2)
    return SimpleNamespace(
        results_=RESULTS,
        fold_scores_=FOLDS,
        best_estimator_=model.fit(*images),
        searches_={"features + SVM": search},
        mistakes_=MISTAKES,
    )


@pytest.fixture(scope="module")
def audit(images):
    n = len(images[0])
    table = pd.DataFrame({"path": [None] * n, "label": images[1], "problem": [""] * n})
    table["nearest"], table["exact_group"], table["near_group"] = 1, -1, -1
    table.loc[[3, 7], ["exact_group", "near_group"]] = 3
    table["leaks"] = table["exact_group"] >= 0
    table["suspect_label"] = table.index == 11
    table["suggested_label"] = None
    table.loc[11, "suggested_label"] = "two"
    table["suggested_probability"] = 0.93
    return table


@pytest.fixture(scope="module")
def advice():
    return SimpleNamespace(
        strategy="frozen",
        layers=("layer3",),
        pooling="max",
        reasons=("Size: 60 images, few.", "Similarity: similar & known."),
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory, comparison, images, audit, advice):
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    X, y = [str(folder / f"{'long_' * 12}{row}.png") for row in range(60)], images[1]
    for file, pixels in zip(X, images[0], strict=True):
        Image.fromarray(pixels).save(file)
    audit = audit.assign(path=X)
    return render_report(comparison, path, X=X, y=y, audit=audit, recommendation=advice)


class _Outline(HTMLParser):
    """Notes tags, headings, texts and addresses; complains of what is not closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.headings, self.texts, self._open = [], [], [], []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "source", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self._open and re.fullmatch("h[1-6]", self._open[-1]):
            self.headings.append((self._open[-1], data))


@pytest.fixture(scope="module")
def outline(report):
    return _Outline(report.read_text(encoding="utf-8"))


def _text(outline):
    return " ".join(" ".join(outline.texts).split())


def test_the_report_has_its_sections_in_order(outline):
    assert outline.headings == [
        ("h1", "Which strategy for these images?"),
        ("h2", "How good, and at what cost"),
        ("h2", "All candidates"),
        ("h2", "What the rule of thumb advises"),
        ("h2", "What it gets right and wrong"),
        ("h3", "Where it looks"),
        ("h2", "All its mistakes"),
        ("h2", "What the features tell"),
        ("h2", "The images themselves"),
        ("h2", "The code that reproduces the winner"),
    ]


def test_the_answer_says_what_is_best_what_is_as_good_and_what_transfer_is_worth(outline):
    text = _text(outline)
    assert "features + SVM is best: accuracy 0.952 ± 0.006, mean and its spread" in text
    assert "Frozen is not shown to be worse (p ≥ 0.05, corrected for the number" in text
    assert "Transfer pays: features + SVM scores +0.291 against" in text
    assert "were chosen on the same folds" in text


def test_the_table_has_every_candidate_and_figure(outline):
    text = _text(outline)
    for shown in ("C = 10", "0.944 ± 0.013", "0.31", "< 0.001", "1 min 15 s", "1.2 GB", "12 kB"):
        assert shown in text
    cells = [attrs["data-label"] for tag, attrs in outline.tags if tag == "td" and attrs]
    assert cells[:7] == [
        "Accuracy", "p against best", "Fit", "Predict", "Search", "Memory", "Model file",
    ]  # fmt: skip


def test_the_advice_and_the_audit_are_in_words(outline):
    text = _text(outline)
    assert "Frozen : keep the network as it is" in text
    assert "Similarity: similar & known." in text
    assert "2 images with exact duplicates" in text
    assert "the same pixels as image 1" in text
    assert "looks like two (93%)" in text
    assert "Compare again with StratifiedGroupKFold" in text


def test_every_mistake_on_held_out_images_is_shown_once_and_the_surest_first(outline):
    text = _text(outline)
    assert "2 images of 60 got another label than theirs from a copy of the winner" in text
    shown = text.partition("got another label than theirs")[2]
    assert "two , labelled one" in shown
    assert "none of the classes , labelled two" in shown
    assert shown.index("17.png") < shown.index("4.png")


def test_what_was_not_tested_is_not_called_as_good(tmp_path, comparison):
    untested = SimpleNamespace(**vars(comparison))
    untested.results_ = RESULTS.assign(p_value=np.nan)
    text = _text(_Outline(render_report(untested, tmp_path / "r.html").read_text(encoding="utf-8")))
    assert "Whether the others are worse was not tested" in text
    assert "not shown to be worse" not in text
    display = StrategyComparisonDisplay(untested.results_).plot()
    assert display.ax_.get_legend() is None


def test_images_that_are_merely_odd_do_not_hide_what_is_wrong(audit):
    table = audit.assign(odd_size=True, width=9.0, height=5.0)
    body = audit_section(table).body
    shown = [int(row) for row in re.findall(r">image (\d+)", body)]
    assert shown == [3, 7, 11, 0, 1, 2, 4]
    assert "53 more images" in body
    assert "60 images of odd sizes" in body


def test_names_cannot_inject_html(report):
    html = report.read_text(encoding="utf-8")
    assert "raw &lt;pixels&gt;" in html
    assert "<pixels>" not in html


def test_class_names_of_every_kind_are_drawn_and_written(tmp_path, images):
    names = np.array(["$x^$", "_a\nb\x1b[2J", "<script>🐞\u202e مثال"])
    y = names[np.unique(images[1], return_inverse=True)[1]]
    pixels = make_pipeline(PixelTransformer(4), LogisticRegression(max_iter=200))
    found = compare_strategies(images[0], y, candidates={"$_$": pixels}, cv=2)
    page = found.to_html(tmp_path / "page.html", images[0], y).read_text(encoding="utf-8")
    assert "$x^$" in page
    assert r"_a\nb\x1b[2J" in page.replace("\n", r"\n")
    assert "&lt;script&gt;🐞" in page
    assert not set("\x1b\u202e") & set(page)


def test_a_page_that_has_nowhere_to_go_is_told_before_the_work(tmp_path, comparison, images):
    with pytest.raises(FileNotFoundError, match=r"path .*missing' does not exist. Make it first"):
        render_report(comparison, tmp_path / "missing" / "r.html", X=images[0], y=images[1])


def test_a_page_that_fails_leaves_the_one_that_was_there(tmp_path, comparison, monkeypatch):
    page = render_report(comparison, tmp_path / "r.html")
    before = page.read_text(encoding="utf-8")

    def full(self, *_, **__):
        self.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match=r"No space left on device: .*r\.html"):
        render_report(comparison, page)
    monkeypatch.undo()
    assert page.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [page]


def test_every_picture_is_inside_and_described(outline):
    pictures = [attrs for tag, attrs in outline.tags if tag == "img"]
    assert len(pictures) > 10
    for attrs in pictures:
        assert attrs["src"].startswith("data:image/")
        assert len(attrs["alt"]) > 5
    dark = [attrs["srcset"] for tag, attrs in outline.tags if tag == "source"]
    assert len(dark) == 6
    assert all(uri.startswith("data:image/svg+xml") for uri in dark)


def test_the_report_refers_to_nothing_outside(report, outline):
    for _, attrs in outline.tags:
        for name in ("src", "srcset", "href"):
            assert attrs.get(name, "data:").startswith("data:")
    assert not any(tag == "script" for tag, _ in outline.tags)
    style = next(text for text in outline.texts if "color-scheme" in text)
    assert "url(" not in style
    assert "@import" not in style
    assert len(report.read_bytes()) < 2e6


def test_a_report_without_images_holds_what_is_known(tmp_path, comparison):
    outline = _Outline(render_report(comparison, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert [text for _, text in outline.headings][1:] == [
        "How good, and at what cost",
        "All candidates",
        "The code that reproduces the winner",
    ]


def test_a_winner_without_features_is_shown_by_what_it_confuses(tmp_path, images):
    X, y = images
    model = make_pipeline(PixelTransformer(8), StandardScaler(), SVC()).fit(X, y)
    comparison = SimpleNamespace(results_=RESULTS.iloc[[2]], best_estimator_=model)
    path = render_report(comparison, tmp_path / "r.html", X=X, y=y)
    headings = [text for _, text in _Outline(path.read_text(encoding="utf-8")).headings]
    assert "What it gets right and wrong" in headings
    assert "Where it looks" in headings
    assert "What the features tell" not in headings


def test_the_best_features_are_shown_beside_a_winner_without(tmp_path, images):
    X, y = images
    winner = make_pipeline(PixelTransformer(8), SVC()).fit(X, y)
    features = make_pipeline(DeepFeatureTransformer("tiny"), SVC())
    searches = {
        "raw": GridSearchCV(winner, {}, cv=2),
        "features": GridSearchCV(features, {}, cv=2),
    }
    results = RESULTS.iloc[:2].assign(candidate=["raw", "features"], best_params=[{}, {}])
    comparison = SimpleNamespace(results_=results, best_estimator_=winner, searches_=searches)
    path = render_report(comparison, tmp_path / "r.html", X=X, y=y)
    headings = [text for _, text in _Outline(path.read_text(encoding="utf-8")).headings]
    assert "What the features tell" in headings


def test_examples_are_images_that_the_model_was_not_fitted_on(images):
    from sktransfer.report.examples import hold_out

    X, y = images
    model = make_pipeline(PixelTransformer(8), SVC())
    folds = [(np.arange(0, 60, 2), np.arange(1, 60, 2)), (np.arange(1, 60, 2), np.arange(0, 60, 2))]
    held = hold_out(model, X, y, folds, 0.1)
    assert held.X is X
    assert not held.of_target
    assert sorted(held.rows.tolist()) == list(range(60))
    expected = make_pipeline(PixelTransformer(8), SVC()).fit(X[folds[0][0]], y[folds[0][0]])
    np.testing.assert_array_equal(held.predicted[:30], expected.predict(X[folds[0][1]]))
    slow = hold_out(model, X, y, folds, 1000.0)
    np.testing.assert_array_equal(slow.rows, folds[0][1])


def test_a_comparison_writes_itself(tmp_path, images):
    X, y = images
    dummy = make_pipeline(PixelTransformer(4), DummyClassifier())
    model = make_pipeline(PixelTransformer(4), SVC())
    comparison = compare_strategies(X, y, candidates={"dummy": dummy, "svm": model}, cv=2)
    path = comparison.to_html(tmp_path / "r.html", X, y)
    outline = _Outline(path.read_text(encoding="utf-8"))
    text = _text(outline)
    assert f"svm is best: accuracy {comparison.best_score_:.3f}" in text
    assert ("h3", "Where it looks") in outline.headings


def test_an_adapted_winner_is_not_fitted_again_without_its_target(tmp_path, comparison, images):
    adapted = SimpleNamespace(**vars(comparison))
    adapted.results_ = RESULTS.assign(strategy="adaptation")
    X, y = images
    path = render_report(adapted, tmp_path / "r.html", X=X, y=y)
    headings = [text for _, text in _Outline(path.read_text(encoding="utf-8")).headings]
    assert "What it gets right and wrong" not in headings
    assert "What the features tell" in headings


def test_a_winner_that_was_scored_on_the_target_is_shown_on_it(images):
    from sktransfer.report.examples import examples_section, hold_out

    X, y = images
    model = make_pipeline(PixelTransformer(8), SVC())
    folds = [(np.arange(0, 60, 2), np.arange(1, 60, 2))] * 2
    target, labels = 255 - X[:50], y[:50]
    held = hold_out(model, X, y, folds, 0.1, X_target=target, y_target=labels)
    np.testing.assert_array_equal(held.predicted, held.model.predict(target))
    section = examples_section("svm", held).body
    n_right = (held.predicted == labels).sum()
    assert f"{n_right} of 50 images of the target are right" in section
    assert f"{50 - n_right} mistakes on 50 images of the target, whose labels svm" in section


def test_an_adapted_winner_is_fitted_with_its_target(tmp_path, digits):
    rows = np.concatenate([np.flatnonzero(digits.y == digit)[:8] for digit in range(3)])
    X, y = np.concatenate([digits.X[rows], 255 - digits.X[:20]]), np.repeat(-1, 44)
    y[:24] = digits.y[rows]
    model = DANNClassifier(
        "tiny", strategy="frozen", image_size=32, domain_head=(8,), max_epochs=1, random_state=0
    )
    comparison = compare_strategies(X, y, candidates={"DANN": model}, cv=2, unlabeled=-1)
    page = comparison.to_html(tmp_path / "r.html", X, y, unlabeled=-1).read_text(encoding="utf-8")
    outline = _Outline(page)
    assert ("h2", "What it gets right and wrong") in outline.headings
    assert "of 24 images that were held out are right" in _text(outline)  # none of the target
    assert "20 images of a target, unlabelled" in _text(outline)
    assert "model.fit(X, y, X_target=X_target)" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"X": [1, 2]}, r"X is given without y\. Pass y="),
        ({"X": [1, 2], "y": [1]}, r"X has 2 images and y 1 labels\. Pass those"),
    ],
)
def test_images_and_labels_that_do_not_match_are_refused(tmp_path, comparison, options, message):
    with pytest.raises(ValueError, match=message):
        render_report(comparison, tmp_path / "r.html", **options)


def test_the_code_of_the_report_makes_the_winner(outline, comparison, images):
    X, y = images
    code = next(text for text in outline.texts if "model = Pipeline" in text)
    found = {"X": X, "y": y}
    exec(code, found)
    made = found["model"]
    assert repr(made) == repr(comparison.best_estimator_)
    np.testing.assert_array_equal(made.predict(X), comparison.best_estimator_.predict(X))


@pytest.mark.parametrize(
    "estimator",
    [
        SVC(C=np.float64(2.5), class_weight={"a": 1.0, 2: 3.0}),
        make_pipeline(
            DeepFeatureTransformer("tiny", layers=[-2, "layer4"], pooling=("avg", "max"),
                                   image_shape=(8, 8), cache=None, batch_size=7, random_state=3),
            GridSearchCV(LogisticRegression(C=0.1, max_iter=1234), {"C": [0.1, 1.0]}, cv=3),
        ),
        Pipeline([("scale", "passthrough"), ("inner", Pipeline([("head", SVC(tol=1e-05))]))]),
        LogisticRegression(C=np.inf, max_iter=7),
    ],
)  # fmt: skip
def test_code_makes_an_equal_estimator(estimator):
    lines = code_of(estimator).split("model.fit")[0]
    found = {}
    exec(lines, found)
    assert repr(found["model"]) == repr(estimator).replace("np.float64(2.5)", "2.5")


def test_code_imports_what_a_parameter_refers_to_and_names_what_it_cannot_write():
    estimator = DeepFeatureTransformer(nn.Linear(2, 3), layers=np.argsort)
    code = code_of(estimator)
    assert "from numpy import argsort" in code
    assert "# backbone: your own Linear" in code
    assert "DeepFeatureTransformer(backbone=backbone, layers=argsort)" in code


def test_code_names_files_without_the_folders_of_this_machine():
    code = code_of(DeepFeatureTransformer("tiny", weights=Path("/home/ada/mine.safetensors")))
    assert "weights='mine.safetensors')" in code
    assert "# weights: the path of mine.safetensors with you" in code
    assert "ada" not in code


# What a reader sees, computed by the browser itself.
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_BROKEN = "[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length"
_SMALL = """[...document.querySelectorAll('p, li, td, th, figcaption, code, h1, h2')]
    .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"""
_CONTRASTS = """(() => {
  const numbers = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = numbers(c).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if (numbers(c)[3] !== 0) return c; } };
  return [...document.querySelectorAll('p, li, td, th, caption, figcaption, code, h1, h2, span')]
    .map(e => { const a = light(getComputedStyle(e).color), b = light(behind(e));
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); });
})()"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_report_whole_and_legible(browser_page, report, width, scheme):
    browser_page.show(report, width=width, scheme=scheme)
    assert browser_page.evaluate("innerWidth") == width
    assert browser_page.evaluate(_OVERFLOW) <= 0
    assert browser_page.evaluate("document.images.length") > 10
    assert browser_page.evaluate(_BROKEN) == 0
    assert browser_page.evaluate(_SMALL) == 0
    assert min(browser_page.evaluate(_CONTRASTS)) >= 4.5  # WCAG 2.1, level AA
    paper = browser_page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == (scheme == "dark")
    shown = browser_page.evaluate("document.querySelector('picture img').currentSrc")
    other = browser_page.evaluate("document.querySelector('picture source').srcset")
    assert (shown == other) == (scheme == "dark")


def test_tables_become_cards_on_a_phone_only(browser_page, report):
    display = "getComputedStyle(document.querySelector('tbody tr')).display"
    browser_page.show(report, width=1280, scheme="light")
    assert browser_page.evaluate(display) == "table-row"
    browser_page.show(report, width=390, scheme="light")
    assert browser_page.evaluate(display) == "block"


def test_no_request_leaves_the_file(browser_page, report):
    browser_page.show(report, width=1280, scheme="light")
    assert report.as_uri() in browser_page.requested
    others = {uri.partition(":")[0] for uri in browser_page.requested if uri != report.as_uri()}
    assert others <= {"data"}


def test_the_policy_would_stop_a_request(browser_page, report, tmp_path):
    # So that the test above does not pass by looking away: a picture from elsewhere is refused.
    spoilt = tmp_path / "spoilt.html"
    html = report.read_text(encoding="utf-8")
    spoilt.write_text(html.replace("<main>", '<main><img src="https://127.0.0.1:9/x.png">'))
    browser_page.show(spoilt, width=390, scheme="light")
    assert browser_page.evaluate(_BROKEN) == 1


def test_a_section_that_fails_becomes_a_sentence_and_the_others_stand(
    tmp_path, comparison, images, monkeypatch
):
    def broken(*_):
        raise ValueError("The number of classes has to be greater than one")

    monkeypatch.setattr("sktransfer.report.rendering.evidence_section", broken)
    path = render_report(comparison, tmp_path / "r.html", X=images[0], y=images[1])
    outline = _Outline(path.read_text(encoding="utf-8"))
    assert ("h2", "What the features tell") in outline.headings
    assert ("h2", "What it gets right and wrong") in outline.headings
    assert "This section could not be made (ValueError: The number of classes" in _text(outline)


def test_the_recall_of_each_class_stands_beside_the_matrix(outline):
    cells = [attrs.get("data-label") for tag, attrs in outline.tags if tag == "td"]
    assert cells.count("Found (recall)") == 3
    assert "interval of 95 %" in _text(outline)


def test_too_few_images_of_a_class_are_no_verdict(tmp_path, digits):
    rows = np.r_[np.flatnonzero(digits.y == 0)[:40], np.flatnonzero(digits.y == 1)[:5]]
    X, y = digits.X[rows], np.array(["good", "defect"])[digits.y[rows]]
    model = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=300))
    found = compare_strategies(X, y, candidates={"features": model}, cv=5)
    text = _text(_Outline(found.to_html(tmp_path / "r.html", X, y).read_text(encoding="utf-8")))
    assert "of 5: too few images for a verdict" in text
    assert "could not be made" not in text


@pytest.mark.parametrize(
    ("p_value", "said"),
    [
        (0.3, "Whether transfer pays is not shown (p = 0.30): features + SVM scores +0.291"),
        (np.nan, "Whether transfer pays is not shown: features + SVM scores +0.291"),
        (0.01, "Transfer pays: features + SVM scores +0.291"),
    ],
)
def test_transfer_pays_only_with_a_test_behind_it(p_value, said):
    results = RESULTS.assign(p_value=[np.nan, 0.31, p_value])
    assert said in answer_section(results, 5, "Accuracy").body


def test_a_comparison_of_masks_shows_its_worst_and_best_masks(tmp_path):
    data = load_digit_masks()
    X, y = data.X[:10], data.y[:10]
    model = PixelClassifier(backbone="tiny", n_pixels=20, random_state=0)
    comparison = compare_strategies(X, y, candidates={"pixels": model}, cv=2, random_state=0)
    page = comparison.to_html(tmp_path / "report.html", X, y).read_text(encoding="utf-8")
    assert "10 images with masks" in page
    assert "<strong>pixels</strong> is best: mean IoU" in page
    assert page.count("mean IoU. image") == 2  # captions of the lowest and the highest
    assert ">IoU</th>" in page
    assert "y: their masks" in page
    with pytest.raises(ValueError, match="X has 10 images and y 9 masks"):
        comparison.to_html(tmp_path / "report.html", X, y[:9])
