"""qglow run: run a bundle."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import check_writable
from ..graph import Array
from ..kernels import library
from ..npz import npz_writer, read_npy
from ..profiling.dataset import Dataset, InputTypes, Sample, checked, open_dataset
from ..progress import track
from ..report.top1 import check_label, choice, is_choice
from ..runtime import InferenceSession
from ..words import counted
from .options import add_backend, add_skip_bad, say_left_out, whole_number

BEST = 5  # classes that are shown
SHOWN = 20  # samples, of many
EXAMPLES = """examples:
  qglow run model.qglow --data images/ -o out.npz
  qglow run model.qglow --input x=x.npy --threads 2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--data", help="folder or file of samples (see README)")
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
    add_skip_bad(parser)
    add_backend(parser)


def run(options: argparse.Namespace) -> int:
    if options.output:
        check_writable(options.output, options.bundle)
    session = InferenceSession(options.bundle, options.threads, backend=options.backend)
    data = _data(options, session)
    if options.backend == "native":
        library.ensure()  # NOTE: before the progress bar, for it may show one of its own
    scores = {name: Scores() for name in session.graph.outputs}
    count = hidden = 0
    with npz_writer(options.output) if options.output else nullcontext() as file:
        for sample in track(data, "running", len(data), options.quiet):
            count += 1
            outputs = dict(zip(session.graph.outputs, session.run(None, sample.feeds), strict=True))
            check_label(sample, outputs)
            for name, array in outputs.items():
                scores[name].add(array, sample.label)
            if file is not None:
                for name, array in outputs.items():
                    file.add(name if len(data) == 1 else f"{sample.name}/{name}", array)
            elif options.quiet:
                continue
            elif count <= SHOWN or len(data) <= SHOWN + 1:
                _describe(sample, outputs)
            else:
                hidden += 1
    if options.output and not options.quiet:
        print(f"{options.output}: {counted(count, 'sample')}")
    elif hidden:
        print(f"and {counted(hidden, 'more sample')}; -o FILE.npz keeps the outputs of all")
    for name, found in scores.items() if not options.quiet else ():
        if found.labelled:
            print(f"output {name!r}: {found.described()}")
    return 0


@dataclass(slots=True)
class Scores:
    """How often the label of a sample was the best, or among the best, of an output's scores."""

    labelled: int = 0
    right: int = 0
    among: int = 0
    classes: int = 0

    def add(self, array: Array, label: int | None) -> None:
        if label is None or not is_choice(array):
            return
        self.labelled += 1
        self.classes = max(self.classes, array.size)
        self.right += choice(array) == label
        self.among += label in best_classes(array)

    def described(self) -> str:
        top5 = f", top-5 accuracy {self.among / self.labelled:.1%}" if self.classes > BEST else ""
        return f"top-1 accuracy {self.right / self.labelled:.1%}{top5} over {counted(self.labelled, 'labelled sample')}"


def best_classes(array: Array) -> list[int]:
    """The classes with the largest scores, the best first; of equal ones the first."""
    return [choice(array)] if array.dtype.kind in "iu" else np.argsort(-array.ravel(), kind="stable")[:BEST].tolist()


def _data(options: argparse.Namespace, session: InferenceSession) -> Dataset:
    if bool(options.data) == bool(options.input):
        raise DataError("give either --data DATA or --input NAME=FILE.npy for every input")
    if options.data:
        data = open_dataset(options.data, session.graph).spread(options.samples)
        return data.without_bad(say_left_out) if options.skip_bad else data
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
        if is_choice(array) and array.dtype.kind == "f":
            values = array.ravel()
            best = ", best " + ", ".join(f"{k} ({values[k]:.3g})" for k in best_classes(array))
        else:
            best = f", largest at {int(np.argmax(array))}" if array.size and array.dtype.kind in "fiub" else ""
        print(f"{sample.name}: {name} {array.dtype}{list(array.shape)}{best}")
