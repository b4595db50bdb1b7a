"""Train the models of tests/trained/models anew: `python tools/train_models.py [NAME ...]`, default all. They come out
different on another CPU, as the sums of BLAS do."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench.accuracy.grown import GROWN
from tests.trained import families, stored


def main(names: list[str]) -> None:
    makers = {**families.FAMILIES, **GROWN, families.QUANTIZED: families.quantized}
    unknown = sorted(set(names) - set(makers))
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(makers)}")
    stored.FOLDER.mkdir(exist_ok=True)
    for name in names or makers:
        onnx.save(makers[name](), stored.path(name))
        print(f"{stored.path(name)}: {stored.path(name).stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
