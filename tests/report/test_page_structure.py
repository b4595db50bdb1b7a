"""What the page is made of, without a browser: landmarks, labels, headings, nothing from elsewhere, names that try to
be markup, and contrast by the formula of WCAG."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from qglow.report import html
from qglow.report.advice import advice, verdict
from qglow.report.coverage import Coverage, OpCoverage
from qglow.report.figures import (
    GraphNode,
    LayerReport,
    OutputReport,
    Provenance,
    Report,
    SampleReport,
    Size,
    SourceFile,
    Spread,
)
from qglow.report.html import page
from qglow.runtime.machine_limits import MachineLimits
from qglow.runtime.step_profile import StepTime

HOSTILE = '</title><script>alert("x")</script><img src=x onerror=alert(1)>\'"&amp;'
PICTURE = "data:image/png;base64,iVBORw0KGgo="
VOID = {"meta", "img", "br", "input", "link", "hr"}


class Tree(HTMLParser):
    """Elements as (tag, attributes, path of tags), and the text of each path's end. Fails on what is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self.words: list[tuple[int, str]] = []
        self._open: list[tuple[str, int]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({k for k, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(t for t, _ in self._open)))
        if tag not in VOID:
            self._open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(t for t, _ in self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1][0] == tag, (tag, self._open[-3:])
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.words += [(at, data) for _, at in self._open]

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [a for t, a, _ in self.elements if t in tags]

    def text(self, tag: str, **attributes: str) -> list[str]:
        found = [
            k
            for k, (t, a, _) in enumerate(self.elements)
            if t == tag and all(a.get(n.rstrip("_")) == v for n, v in attributes.items())
        ]
        return ["".join(w for at, w in self.words if at == k) for k in found]


def whole(name: str = "net") -> Report:
    """A report with something of everything, in which every name is `name`."""
    spread = Spread(-2.0, 3.0, -1.0, 2.0, 0.02, [1, 5, 30, 5, 0, 1])
    layers = [
        LayerReport(name, name, "int8", 31.25, 0.9991, 35.0, spread, 12.5),
        LayerReport(f"{name}2", "Gemm", "float", 12.0, 0.9, None, None, None),
    ]
    coverage = OpCoverage(name)
    coverage.add("host", name, name, 10, "float")
    return Report(
        name=name, samples=20, float=name, complaints={},
        outputs={
            name: OutputReport(31.25, 0.999, 0.5, low_db=30.0, high_db=33.0, worst_sample_db=20.0),
            f"{name}2": OutputReport(equal=0.9999, elements=100, top1_agreement=0.99, is_choice=True),
        },
        layers=layers, layer_samples=4, nodes={"int8": 5, "float": 1, "folded": 0},
        kept_float=[{"node": name, "op": name, "precision": "float", "reason": name}],
        proposed_exclude=[name], size=Size(4000, 1000),
        latency_ms={n: {"min": 1.0, "median": 1.1, "p99": 2.0, "runs": 9} for n in ("qglow int8", "onnxruntime fp32")},
        noise_beside={"qglow int8": {"sqnr_db": 30.0, "samples": 8}}, machine=MachineLimits(1, 1e12, 1e11, 1e10),
        steps=[StepTime(0, name, name, False, 1e-5, 1000, 100, name), StepTime(1, name, name, True, 1e-5, 0, 0, "")],
        notes=[name], coverage=Coverage((coverage,), {name: (1, 3)}, 0, {}),
        worst_samples=[SampleReport(name, 12.0, name, 1, 1, 2, PICTURE), SampleReport(name, 15.0, name)],
        network=[GraphNode(name, name, "int8", name, ()), GraphNode(name, "Gemm", "float", f"{name}2", (0,))],
        target={
            "min_sqnr_db": 30.0, "max_accuracy_drop": None, "met": True, "judged_on": name,
            "int8": {"sqnr_db": 20.0, "ms": 1.0}, "reached": {"sqnr_db": 31.0, "ms": 1.5},
            "front": [{"sqnr_db": 20.0, "ms": 1.0, "float_nodes": 0, "int16_nodes": 0},
                      {"sqnr_db": 31.0, "ms": 1.5, "float_nodes": 1, "int16_nodes": 2}],
        },
        provenance=Provenance(
            "1.0", name, name, SourceFile(name, 5, "ab" * 32), SourceFile(name, 5, "cd" * 32), name, name,
            {"data": name, "samples": 3, "warnings": [name]}, {"exclude": [name]}, "2030-01-01",
        ),
    )  # fmt: skip


BARE = Report("", 0, "", {}, {}, [])
PAGES = {"whole": (whole(),), "several": (whole(), whole("other"), BARE), "bare": (BARE,), "hostile": (whole(HOSTILE),)}


@pytest.fixture(scope="module", params=PAGES)
def text(request: pytest.FixtureRequest) -> str:
    return page(*PAGES[request.param])


def test_landmarks_headings_and_anchors(text: str) -> None:
    tree = Tree(text)
    assert tree.all("html")[0]["lang"] == "en" and tree.text("title")[0].strip()
    for tag in ("main", "header", "footer", "h1"):
        assert len(tree.all(tag)) == 1, tag
    assert all(a.get("aria-label") for a in tree.all("nav", "form"))
    levels = [int(t[1]) for t, _, _ in tree.elements if re.fullmatch("h[1-6]", t)]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a, _ in tree.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    links = [a["href"] for a in tree.all("a")]
    assert links[0] == "#main" and all(link[0] == "#" and link[1:] in ids for link in links)
    for attribute in ("aria-labelledby", "data-table", "data-tools"):
        assert all(a[attribute] in ids for _, a, _ in tree.elements if attribute in a)


def test_everything_that_is_no_text_has_a_name(text: str) -> None:
    tree = Tree(text)
    assert len(tree.text("caption")) == len(tree.all("table")) and all(tree.text("caption"))
    assert all(a.get("scope") in ("col", "row") for a in tree.all("th"))
    assert all(a.get("alt") for a in tree.all("img"))
    titled = {p for t, _, p in tree.elements if t == "title"}
    for t, a, p in tree.elements:
        if t == "svg":
            named = a.get("aria-label") or (*p, "svg") in titled
            assert a.get("aria-hidden") == "true" or (a.get("role") == "img" and named)
        if t in ("input", "select"):
            assert "label" in p
        if a.get("role") == "region":
            assert a.get("tabindex") == "0" and a.get("aria-label")
    regions = [a["aria-label"] for _, a, _ in tree.elements if a.get("role") == "region"]
    assert len(set(regions)) == len(regions)
    assert all(t.strip() for t in tree.text("button"))


def test_sortable_columns_say_how_they_are_sorted(text: str) -> None:
    tree = Tree(text)
    sorts = [a["aria-sort"] for a in tree.all("th") if "aria-sort" in a]
    assert set(sorts) <= {"ascending", "none"}
    if "layers-table" in text:
        assert sorts.count("ascending") >= 1
    assert all("hidden" in a for a in tree.all("form"))  # NOTE: without a script there is nothing to filter with


def test_nothing_comes_from_elsewhere(text: str) -> None:
    tree = Tree(text)
    assert not tree.all("link", "iframe", "object", "embed", "base", "audio", "video")
    for _, a, _ in tree.elements:
        assert not any(k.startswith("on") or k in ("srcset", "action", "formaction", "poster", "xlink:href") for k in a)
        assert a.get("src", "data:image/").startswith("data:image/") and a.get("href", "#").startswith("#")
    assert len(tree.all("script")) == len(tree.all("style")) == 1 and not tree.all("script")[0]
    own = "".join(tree.text("style") + tree.text("script"))
    assert not re.search(r"url\(|@import|fetch|XMLHttpRequest|https?:|import\(|innerHTML|eval\(", own)


def test_names_that_try_to_be_markup_are_text() -> None:
    text = page(whole(HOSTILE))
    tree = Tree(text)
    assert all(a["src"] == PICTURE for a in tree.all("img")) and len(tree.all("img")) == 1
    assert HOSTILE in tree.text("title")[0] and HOSTILE in "".join(tree.text("main"))
    assert "alert(" not in tree.text("script")[0]
    shown = "".join(w for _, w in tree.words)
    assert shown.count(HOSTILE) > 20
    several = Tree(page(whole(HOSTILE), whole(HOSTILE)))
    assert len(several.all("script")) == 1 and any(HOSTILE in t for t in several.text("h2"))


def test_a_page_of_several_bundles_has_each_and_a_row_for_each() -> None:
    tree = Tree(page(whole("a"), whole("b"), whole("b")))
    heads = [t for t in tree.text("h2") if t != "Side by side"]
    assert heads == ["a", "b", "b (3)"]
    first = tree.text("table")[0]
    assert all(name in first for name in heads) and "30.0 to 33.0" in first


def test_the_page_says_where_it_comes_from() -> None:
    shown = "".join(Tree(page(whole())).text("dl", class_="from"))
    for word in ("2030-01-01", "1.0", "ab" * 32, "cd" * 32, "exclude = net", "over 3 samples"):
        assert word in shown


def _colours(theme: str) -> dict[str, str]:
    css = (Path(html.__file__).parent / "page.css").read_text()
    light, dark = re.findall(r":root\{color-scheme:light dark;(.*?)\}.*?dark\)\{:root\{(.*?)\}", css, re.S)[0]
    found = dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", light))
    return found | (dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", dark)) if theme == "dark" else {})


def _luminance(channels: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(colour: str, on: str, opacity: float = 1.0) -> float:
    """Of WCAG 2.2: 1 to 21."""
    a, b = (tuple(int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)) for c in (colour, on))
    mixed = tuple(opacity * x + (1 - opacity) * y for x, y in zip(a, b, strict=True))
    high, low = sorted((_luminance(mixed), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_of_contrast() -> None:
    assert _contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_that_of_wcag_aa(theme: str) -> None:
    colours = _colours(theme)
    for colour, on in product(("ink", "soft", "link", "good", "fair", "poor"), ("paper", "card")):
        assert _contrast(colours[colour], colours[on]) >= 4.5, (colour, on)
    for colour, on in product(("mine", "mark", "edge", "s1", "s2", "s3", "s4", "s5"), ("paper", "card")):
        assert _contrast(colours[colour], colours[on]) >= 3, (colour, on)
    for colour in ("good", "fair", "poor"):
        assert _contrast(colours[colour], colours["paper"], 0.72) >= 3, colour
    assert _contrast(colours["mine"], colours["shade"]) >= 3


def test_a_verdict_that_is_not_good_always_has_something_to_do() -> None:
    kinds: list[dict[str, Any]] = [
        {}, {"top1_fp32": 0.9, "top1_int8": 0.9, "labelled": 50, "lost_low": -2.0, "lost_high": 2.0},
        {"top1_fp32": 0.9, "top1_int8": 0.88}, {"top1_fp32": 0.9, "top1_int8": 0.5},
        {"top1_agreement": 0.6, "is_choice": True}, {"low_db": -5.0, "high_db": 60.0},
    ]  # fmt: skip
    targets = [None, {"met": True, "min_sqnr_db": 45.0}, {"met": False}, {"met": True, "max_accuracy_drop": 0.5}]
    for db, kind, target, own in product((-200.0, 3.0, 14.9, 15.0, 24.9, 40.0, 200.0), kinds, targets, (5.0, 60.0)):
        layer = LayerReport("a", "Conv", "int8", db, 0.9, own)
        report = Report("", 9, "", {}, {"y": OutputReport(db, **kind)}, [layer], proposed_exclude=["a"], target=target)
        judged, (what, how) = verdict(report), advice(report)
        assert judged.grade in ("good", "fair", "poor")
        assert (what == "Nothing") == (judged.grade == "good") == (not how), (db, kind, target, judged, what, how)
        assert not any("--min-sqnr-db" in h and float(h.split("--min-sqnr-db ")[1].split(",")[0].split()[0]) <= db
                       for h in how), "a target that is met already changes nothing"  # fmt: skip
        broken = report._replace(complaints={"y": "NaN"})
        assert verdict(broken).grade == "poor" and "do not use" in advice(broken)[0].lower()


def test_wider_ranges_are_not_proposed_where_they_were_given() -> None:
    report = whole()._replace(outputs={"y": OutputReport(12.0)}, target=None)
    assert any("minmax" in step for step in advice(report)[1])
    assert report.provenance is not None
    made = report.provenance._replace(config={"calibration": "minmax"})
    assert not any("minmax" in step for step in advice(report._replace(provenance=made))[1])
