"""The HTML page in a browser: it draws all of its plots, sorts its table, logs no error and asks for nothing from
elsewhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import qglow
from qglow.pipeline import measure_peers
from qglow.report.advice import advice, blame
from qglow.report.figures import LayerReport, OutputReport, Report, Spread
from qglow.report.html import page
from qglow.runtime.step_profile import StepTime

BROWSER = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
WATCH = (
    '<script>window.faults=[];addEventListener("error",e=>faults.push(e.message));'
    "console.error=m=>faults.push(m)</script>"
)
ACT = """<script>
var heads = [...document.querySelectorAll("table.sorts th")], sqnr = heads.find(h => h.textContent == "SQNR dB");
var column = k => [...sqnr.closest("table").tBodies[0].rows].map(r => Number(r.cells[k].dataset.v));
var press = () => sqnr.querySelector("button").click();
press(); var up = column(sqnr.cellIndex); press(); var down = column(sqnr.cellIndex);
var seen = e => { var b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0 };
var found = {faults: faults, up: up, down: down, plots: [...document.querySelectorAll("svg")].filter(seen).length,
  wide: document.documentElement.scrollWidth <= innerWidth,
  outside: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:"))};
document.body.dataset.found = JSON.stringify(found);
</script>"""


@pytest.fixture(scope="module")
def report(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The demo model's whole report, times and all."""
    model, path = digits / "model.onnx", tmp_path_factory.mktemp("bundle") / "d.qglow"
    bundle = qglow.quantize(model, qglow.profile(model, digits, samples=16))
    bundle.save(path)
    made = qglow.compare(model, bundle, digits, samples=20)
    made.beside = measure_peers(path, model, digits)
    return made.figures()


def test_the_page_has_facts_first_then_every_plot(report: Report) -> None:
    text = page(report)
    parts = [
        'aria-label="Verdict"',
        "What to do",
        "<dt>Signal to noise",
        "<dt>Most noise added by",
        ">Outputs</h2>",
        ">Samples that differ most</h2>",
        ">Noise along the network</h2>",
        ">Layers</h2>",
        ">Graph</h2>",
        ">Latency</h2>",
        ">Where the time goes</h2>",
        ">Where the operations run</h2>",
        ">Where this comes from</h2>",
    ]
    places = [text.index(p) for p in parts]
    assert places == sorted(places)
    assert text.count('<svg class="spark"') == sum(r.spread is not None for r in report.layers) > 5
    assert "operations a byte moved" in text and text.count('<rect class="bar') == len(report.layers)


@pytest.mark.skipif(
    BROWSER is None, reason="no chromium is installed: apt-get install chromium to open the page in a browser"
)
def test_the_page_in_a_browser(report: Report, tmp_path: Path) -> None:
    assert BROWSER is not None
    text = page(report)
    (tmp_path / "r.html").write_text(text.replace("<style>", WATCH + "<style>", 1).replace("</body>", ACT + "</body>"))
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'user'}",
        "--enable-logging=stderr",
    ]
    command = [BROWSER, *arguments, "--window-size=1200,900", "--dump-dom", (tmp_path / "r.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0 and "CONSOLE" not in done.stderr, done.stderr[-2000:]
    data = re.search(r'data-found="([^"]*)"', done.stdout)
    assert data is not None, done.stdout[-1000:]
    found = json.loads(data.group(1).replace("&quot;", '"'))
    assert not found["faults"] and not found["outside"] and found["wide"]
    assert found["plots"] == text.count("<svg") >= len(report.layers)
    expected = sorted(r.sqnr_db for r in report.layers)
    assert found["up"] == expected and found["down"] == expected[::-1]


def _report(sqnr: float, clipped: float = 0.0, **changes: Any) -> Report:
    spreads = [Spread(0.0, 1.0, 0.0, 1.0, c, [1]) for c in (0.0, clipped)]
    rows = [
        LayerReport(n, "Conv", "int8", 20.0, 1.0, db, s) for n, db, s in zip("ab", (12.0, 30.0), spreads, strict=True)
    ]
    return Report("", 1, "", {}, {"y": OutputReport(sqnr)}, rows, proposed_exclude=["a"])._replace(**changes)


def test_advice_names_the_layers_only_where_something_is_wrong() -> None:
    assert advice(_report(40.0)) == ("Nothing", [])
    what, how = advice(_report(20.0))
    assert what == "Keep layers float" and how == [
        "qglow quantize --exclude a; or --min-sqnr-db 25, which chooses them"
    ]
    assert "look at the inputs" in advice(_report(9.0))[1][-1]
    assert blame(_report(20.0)) == [("a", "a: Conv, 12.0 dB alone")]


def test_advice_believes_labels_more_than_noise() -> None:
    right = {"y": OutputReport(14.0, top1_fp32=0.9, top1_int8=0.9)}
    what, how = advice(_report(14.0, outputs=right))
    assert what == "Use the class, not the scores" and "14.0 dB" in how[0] and "--exclude" not in how[0]
    assert advice(_report(30.0, outputs={"y": right["y"]._replace(sqnr_db=30.0)})) == ("Nothing", [])
    wrong = {"y": OutputReport(30.0, top1_fp32=0.9, top1_int8=0.8)}
    assert advice(_report(30.0, outputs=wrong))[0] == "Keep layers float"


def test_advice_says_what_is_cut_off_and_what_runs_on_the_host() -> None:
    assert "--calibration minmax: b have values cut off" in advice(_report(20.0, clipped=0.02))[1]
    steps = [StepTime(0, "conv2d", "a", False, 1e-3, 0, 0, ""), StepTime(1, "LSTM", "b", True, 3e-3, 0, 0, "")]
    assert advice(_report(40.0, steps=steps)) == (
        "Mind the host steps",
        ["75% of the time, 3 ms, is in steps without a kernel: LSTM"],
    )
