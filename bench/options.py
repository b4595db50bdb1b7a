"""What the command lines of several measurements share. A value that cannot be is one line, and exit code 2."""

from __future__ import annotations

import argparse
from pathlib import Path

from .models import real
from .prepared import default_cache, names


def parser(page: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the module's docstring."""
    return argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_models(p: argparse.ArgumentParser, default: str) -> None:
    """--models, and --cache, the folder of what is made of them."""
    p.add_argument(
        "--models", type=models, default=default, help="by comma: an .onnx file, or one of " + ", ".join(names())
    )
    p.add_argument(
        "--cache", type=Path, default=default_cache(), help="folder of prepared models (default %(default)s)"
    )


def add_json(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json", metavar="FILE", type=result_file, help="write the numbers there")


def models(text: str) -> list[str]:
    """Names of models that can be measured here, and .onnx files."""
    found = text.split(",")
    for name in found:
        if name not in names() and not (name.endswith(".onnx") and Path(name).is_file()):
            raise argparse.ArgumentTypeError(f"no model {name!r}; there are {', '.join(names())}, or .onnx files")
    return found


def real_models(text: str) -> list[str]:
    """Names of real models whose files are here."""
    found = text.split(",")
    for name in found:
        if not real.is_here(name):
            there = (
                ", ".join(real.available())
                or "none: set QGLOW_SHARED_MODELS to the folder that holds models/ and recipes.py"
            )
            raise argparse.ArgumentTypeError(f"no real model {name!r}; there are {there}")
    return found


def numbers(text: str) -> list[int]:
    """Whole numbers of at least 1, by comma."""
    try:
        found = [int(n) for n in text.split(",")]
    except ValueError:
        found = [0]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers of at least 1, by comma, got {text!r}")
    return found


def result_file(text: str) -> Path:
    """A file in a folder that is there: asked before long work."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: expected the name of a file in a folder that is there")
    return path
