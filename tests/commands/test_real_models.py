"""The command line on real models and their data, as a user walks it: every command ends well, and labelled data says
what int8 cost."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import shared_models

from bench.walk import walk
from qglow.commands.main import main

LABELLED = {"squeezenet1.1_imagenet": "imagenet", "cifar10_resnet20": "cifar10"}


@pytest.mark.models
@pytest.mark.parametrize("name", LABELLED)
def test_pictures_with_labels(name: str, tmp_path: Path) -> None:
    """A folder of pictures with dataset.toml and labels.csv goes in, top-1 in float and int8 comes out."""
    model, data = str(shared_models.path(name)), str(shared_models.FOLDER / "data" / LABELLED[name])
    profile, bundle, report = (str(tmp_path / n) for n in ("p.json", "b.qglow", "r.json"))
    assert main(["profile", model, "--data", data, "--samples", "12", "-o", profile]) == 0
    assert main(["quantize", model, "--profile", profile, "-o", bundle]) == 0
    arguments = [
        "--data",
        data,
        "--samples",
        "50",
        "--layer-samples",
        "2",
        "--no-latency",
        "--json",
        report,
        "-o",
        str(tmp_path / "r.html"),
    ]
    assert main(["report", model, bundle, *arguments]) == 0
    [scores] = json.loads(Path(report).read_text())["outputs"].values()
    assert scores["top1_fp32"] >= 0.5 and scores["top1_fp32"] - scores["top1_int8"] <= 0.04


@pytest.mark.parametrize("name", shared_models.with_made(
    ["mnist_cntk_8", "silero_vad_16k_op15"], ["detector"]))  # fmt: skip
def test_every_command_ends_well(name: str, tmp_path: Path) -> None:
    """Among them several inputs, a scalar one, branches and states."""
    found = walk(name, 2, tmp_path)
    assert not found.failed, found.line()
    assert set(found.seconds) == {"profile", "quantize", "run", "report", "diff", "inspect", "bench", "export"}
    assert found.agreement_db > 5 and not math.isnan(found.exported_db)
    assert "internal error" not in "".join(found.said.values()) and "Warning" not in "".join(found.said.values())
