"""qglow run: run a bundle."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import check_writable
from ..graph import Array
from ..kernels import library
from ..npz import npz_writer, read_npy
from ..profiling.dataset import Dataset, InputTypes, Sample, checked, open_dataset
from ..progress import track
from ..runtime import InferenceSession
from .options import add_backend, whole_number

EXAMPLES = """examples:
  qglow run model.qglow --data images/ -o out.npz
  qglow run model.qglow --input x=x.npy --threads 2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--data", help="folder (see README), or one .npz file")
    parser.add_argument(
        "--samples", type=whole_number, metavar="N", help="use at most so many samples of the data, evenly spread"
    )
    parser.add_argument("--input", action="append", metavar="NAME=FILE.npy", default=[])
    parser.add_argument(
        "-o",
        "--output",
        metavar="out.npz",
        help="outputs, one array a sample: NAME for one sample, SAMPLE/NAME for more",
    )
    parser.add_argument("--threads", type=whole_number, metavar="N", help="default: the CPUs that this process may use")
    add_backend(parser)


def run(options: argparse.Namespace) -> int:
    if options.output:
        check_writable(options.output, options.bundle)
    session = InferenceSession(options.bundle, options.threads, backend=options.backend)
    data = _data(options, session)
    if options.backend == "native":
        library.ensure()  # NOTE: before the progress bar, for it may show one of its own
    with npz_writer(options.output) if options.output else nullcontext() as file:
        for sample in track(data, "running", len(data), options.quiet):
            outputs = dict(zip(session.graph.outputs, session.run(None, sample.feeds), strict=True))
            if file is not None:
                for name, array in outputs.items():
                    file.add(name if len(data) == 1 else f"{sample.name}/{name}", array)
            elif not options.quiet:
                _describe(sample, outputs)
    if options.output and not options.quiet:
        print(f"{options.output}: {len(data)} samples")
    return 0


def _data(options: argparse.Namespace, session: InferenceSession) -> Dataset:
    if bool(options.data) == bool(options.input):
        raise DataError("give either --data DATA or --input NAME=FILE.npy for every input")
    if options.data:
        return open_dataset(options.data, session.graph).spread(options.samples)
    if options.samples:
        raise DataError("--samples goes with --data; --input gives one sample")
    feeds: dict[str, Array] = {}
    for text in options.input:
        name, _, file = text.partition("=")
        if not file or not Path(file).exists():
            raise DataError(f"--input {text!r}: expected NAME=FILE.npy with a file that exists")
        if name not in session.graph.inputs:
            raise DataError(f"--input {text!r}: no input {name!r}; the inputs are {', '.join(session.graph.inputs)}")
        if name in feeds:
            raise DataError(f"--input {text!r}: input {name!r} is given twice")
        feeds[name] = read_npy(Path(file))
    types = InputTypes(session.graph)
    return Dataset((("the given inputs", lambda: checked(feeds, types, "the given inputs"), None),), types)


def _describe(sample: Sample, outputs: dict[str, Array]) -> None:
    for name, array in outputs.items():
        best = f", largest at {int(np.argmax(array))}" if array.size else ""
        print(f"{sample.name}: {name} {array.dtype}{list(array.shape)}{best}")
