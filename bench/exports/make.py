"""Write every export to a folder: `NAME.onnx`, and `NAME.npz` with its inputs (`SHAPE/SAMPLE/INPUT`).

Each is made in a forked process with a time limit; one that fails leaves `NAME.failed` with its reason.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import CALIBRATED, ELSEWHERE, TESTED, language, own, vision
from .entry import Export


def catalogue() -> list[Export]:
    found = own.exports() + language.exports() + vision.exports()
    names = [e.name for e in found]
    assert len(set(names)) == len(names)
    return found


def settle(module: torch.nn.Module, e: Export) -> None:
    """Batch norms take the statistics of a few batches, else random weights let a deep network vanish or explode."""
    norms = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for m in norms:
        m.train().momentum = None
        m.reset_running_stats()
    with torch.no_grad():
        for _ in range(2 if norms else 0):
            # NOTE: a detector wants boxes to train on, and its backbone does not
            trained = getattr(getattr(module, "body", None), "backbone", module)
            trained(*e.feeds(4, e.shapes[0][1]).values())
    module.eval()


def export(e: Export, folder: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    module = e.build().eval()
    if e.settle:
        settle(module, e)
    batched = any(0 in a for a in e.axes.values()) or "h" in e.axes
    given = e.feeds(2 if batched else 1, e.shapes[0][1])  # NOTE: an exporter takes a batch of 1 for a constant
    path = folder / f"{e.name}.onnx"
    args, names = tuple(given.values()), list(given)
    with torch.no_grad():
        if e.dynamo:
            shapes: Any = tuple(dict.fromkeys(e.axes.get(n, {}), torch.export.Dim.DYNAMIC) for n in names)
            if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values()):
                shapes = (shapes,)
            torch.onnx.export(module, args, str(path), input_names=names, dynamo=True, external_data=False,
                              dynamic_shapes=shapes, verbose=False)  # fmt: skip
        else:
            torch.onnx.export(module, args, str(path), input_names=names, dynamic_axes=e.axes, dynamo=False,
                              opset_version=18)  # fmt: skip
    arrays = {}
    for s, (batch, size) in enumerate(e.shapes):
        for k in range(CALIBRATED + TESTED if s == 0 else ELSEWHERE):
            for name, value in e.feeds(batch, size).items():
                arrays[f"{s}/{k}/{name}"] = value.numpy()
    np.savez_compressed(folder / f"{e.name}.npz", **arrays)


def _child(e: Export, folder: Path) -> None:
    warnings.simplefilter("ignore")
    with open(os.devnull, "wb") as nothing:  # NOTE: the exporters print whole graphs where they fail
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    try:
        export(e, folder)
    except BaseException as error:
        text = traceback.format_exc()
        (folder / f"{e.name}.onnx").unlink(missing_ok=True)
        (folder / f"{e.name}.failed").write_text(f"{type(error).__name__}: {str(error)[:300]}\n\n{text}")


def make(folder: Path, only: list[str], seconds: float) -> None:
    """Those that are not there yet; `only`: by the start of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    for e in catalogue():
        if only and not any(e.name.startswith(n) for n in only) or (folder / f"{e.name}.npz").exists():
            continue
        (folder / f"{e.name}.failed").unlink(missing_ok=True)
        start = time.perf_counter()
        child = context.Process(target=_child, args=(e, folder))
        child.start()
        child.join(seconds)
        if child.is_alive():
            child.kill()
            child.join()
            (folder / f"{e.name}.failed").write_text(f"took more than {seconds:.0f} s")
        done = "made" if (folder / f"{e.name}.npz").exists() else (folder / f"{e.name}.failed").read_text()[:150]
        print(f"{e.name:40s} {time.perf_counter() - start:6.1f} s  {done.splitlines()[0]}", flush=True)
