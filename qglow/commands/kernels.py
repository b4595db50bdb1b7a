"""qglow kernels: build, list or clear the compiled kernels."""

from __future__ import annotations

import argparse

from ..kernels import library

EXAMPLES = """examples:
  qglow kernels build
  qglow kernels list
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("build", "list", "clear"))
    parser.add_argument("--isa", help="instruction set (default: the best that this CPU has)")


def run(options: argparse.Namespace) -> int:
    if options.action == "build":
        print(library.ensure(options.isa))
    elif options.action == "clear":
        print(f"removed {library.clear()} files")
    else:
        for line in library.listing():
            print(line)
    return 0
