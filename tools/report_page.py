"""Open report pages in headless Chromium, and fail on what is wrong with them.

    python tools/report_page.py [--screenshots FOLDER] [PAGE.html ...]

Without pages it makes some: of the demo model, of one that is plainly worse in int8, of a model with hostile names, of
three bundles side by side, and of a search for a target. Each is opened at 390 and 1280 pixels in both themes; every
table is sorted by each column, layers are filtered, the graph is zoomed by keyboard, the page is printed. Errors on the
console, requests, horizontal overflow and what axe-core finds against accessibility are failures. It installs
playwright-core and axe-core by npm into a temporary folder (or finds them in --modules), and needs node and chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import qglow  # noqa: E402
from qglow.graph import Graph, GraphBuilder, float_type  # noqa: E402
from qglow.onnx_import.export_float import export_float  # noqa: E402
from qglow.pipeline import measure_several  # noqa: E402
from qglow.report.compare import save_page  # noqa: E402

PACKAGES = ("playwright-core@1", "axe-core@4")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = ('<script>alert("x")</script>', "a&amp;b\"'><img src=x onerror=alert(1)>", "n" * 300, "/blk/" * 40 + "conv")


def hostile() -> Graph:
    """Four convolutions of which the names try to be markup, or are long."""
    b, rng, x = GraphBuilder(), np.random.default_rng(0), "x"
    b.types["x"] = float_type(1, 3, 16, 16)
    b.fresh("x")
    for k, name in enumerate(HOSTILE):
        w = b.add_constant(f"w{k}", rng.normal(0, 0.3, (3, 3, 1, 1)).astype(np.float32))
        x = b.add("Conv", (x, w), float_type(1, 3, 16, 16), name)
    return b.build("</title><script>alert(2)</script>", ("x",), (x,))


def make_pages(folder: Path) -> list[Path]:
    """The pages that are opened where none is given."""
    digits = ROOT / "calibration_data" / "digits"
    made: list[Path] = []

    def add(name: str, model: Path, data: Any, *configs: Mapping[str, Any]) -> None:
        profile, bundles = qglow.profile(model, data, samples=32), []
        for k, config in enumerate(configs):
            bundles.append(folder / f"{name}{k}.qglow")
            qglow.quantize(model, profile, config, check=data if "min_sqnr_db" in config else False).save(bundles[-1])
        reports = [qglow.compare(model, b, data, samples=60) for b in bundles]
        for report, beside in zip(reports, measure_several(bundles, model, data), strict=True):
            report.beside = beside
        made.append(folder / f"{name}.html")
        save_page(reports, made[-1])

    add("digits", digits / "model.onnx", digits, {})
    add("several", digits / "model.onnx", digits, {}, {"activations": "int16"}, {"weights": "per_tensor"})
    add("target", digits / "model.onnx", digits, {"min_sqnr_db": 42.0})
    spoilt = [{"image": np.load(f) * (100 if k % 9 == 0 else 1)} for k, f in enumerate(sorted(digits.glob("*.npy")))]
    add("poor", digits / "model.onnx", spoilt[:40], {"power_of_two": True, "weights": "per_tensor"})
    model = folder / "hostile.onnx"
    model.write_bytes(export_float(hostile()).SerializeToString())
    rng = np.random.default_rng(1)
    add("hostile", model, [{"x": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(9)], {})
    return made


def node_modules(folder: Path) -> Path:
    """A folder with the packages installed."""
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), *PACKAGES]
    subprocess.run(command, check=True)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE.html")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="keep a picture of each view, and the PDFs")
    parser.add_argument("--modules", type=Path, metavar="FOLDER", help="a folder in which the packages are installed")
    options = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None or shutil.which("node") is None:
        print("report_page: needs node and chromium", file=sys.stderr)
        return 2
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        modules = options.modules or node_modules(Path(temporary))
        pages = [p.resolve() for p in options.pages] or make_pages(Path(temporary))
        shots = str(options.screenshots.resolve()) if options.screenshots else "-"
        script = Path(__file__).with_suffix(".mjs")
        return subprocess.run(["node", str(script), browser, shots, *map(str, pages)], cwd=modules).returncode


if __name__ == "__main__":
    raise SystemExit(main())
