"""What `qglow quantize` says at the end, in words: that little became int8, and that an option had no effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..graph.blocks import IN_BLOCKS
from ..quantization.config import DYNAMIC, QuantConfig
from ..runtime.manifest import Manifest
from ..words import counted

FEW = 0.5  # of the operations: less than that in int8 is worth a word
# what is chosen by ranges and by float weights: a model without a profile has no ranges to choose from
OF_A_PROFILE = ("activations", "calibration", "percentile", "power_of_two", "float_outputs", "balance_channels",
                "correct_bias", "int16", "include", "widen_percent", "effort")  # fmt: skip


def warnings_of(manifest: Manifest, config: QuantConfig, given: Mapping[str, Any], profiled: bool) -> list[str]:
    """given: the fields of the configuration that the user wrote, which are not as they are by default."""
    return [*_few(manifest), *_unsure(manifest, config), *_without_effect(manifest, config, given, profiled)]


def _unsure(manifest: Manifest, config: QuantConfig) -> Iterator[str]:
    """That the samples were too few, or the wrong ones, to tell whether int8 is good."""
    agreement = manifest.get("agreement") or {"samples": 0, "outputs": {}}
    count, target = agreement["samples"], manifest.get("target")
    floor = config.min_sqnr_db if config.min_sqnr_db is not None else config.min_agreement_sqnr_db
    if target is not None and not target["sure"]:
        worst = [e["worst_sample_db"] for e in agreement["outputs"].values() if "worst_sample_db" in e]
        said = f"{target['reached']['low_db']:.1f} to {target['reached']['high_db']:.1f} dB"
        said += f", the worst sample {min(worst):.1f} dB," if worst else ""
        yield f"too few samples to tell whether the target is met: {said} on {counted(count, 'sample')}; give more data"
    for name, e in agreement["outputs"].items() if target is None else ():
        if "low_db" in e and e["low_db"] < floor <= e["high_db"]:
            said = f"{e['low_db']:.1f} to {e['high_db']:.1f} dB on {counted(count, 'sample')}"
            yield f"too few samples to tell whether output {name!r} agrees with float: {said}; give more data"


def _few(manifest: Manifest) -> Iterator[str]:
    counts = Counter(d["precision"] for d in manifest["decisions"])
    total, stayed = counts.total(), counts["float"]
    became, all_of_them = total - stayed, counted(total, "operation")
    why = "the lines above say why"
    if not total or became >= FEW * total:
        return
    if not became:
        yield f"nothing became int8: the bundle is a float model, no smaller and no faster; {why}"
    elif any(counts[p] for p in IN_BLOCKS):
        have = "has" if became == 1 else "have"
        yield f"only {became} of {all_of_them} {have} int8 or int4 weights, {stayed} stayed float; {why}"
    else:
        yield (
            f"only {became} of {all_of_them} became int8, {stayed} stayed float: the bundle may be no faster than "
            f"the float model; {why}"
        )


def _without_effect(manifest: Manifest, config: QuantConfig, given: Mapping[str, Any], profiled: bool) -> Iterator[str]:
    reasons = {d["reason"] for d in manifest["decisions"]}
    for pattern in given.get("exclude", ()):
        if f"excluded by {pattern!r}" not in reasons and pattern not in given.get("include", ()):
            yield f"--exclude {pattern} had no effect: what it names is float anyway, or another option names it too"
    if not profiled:
        why = "the ranges are the model's own" if not config.block_bits else "ranges are found when the bundle runs"
        for name in OF_A_PROFILE if config.block_bits else (*OF_A_PROFILE, "weights"):
            if name in given and given[name] != "best":
                yield f"--{name.replace('_', '-')} had no effect without a profile: {why}"
    elif "percentile" in given and config.calibration != "percentile":
        yield f"--percentile had no effect: it is for --calibration percentile, and this is {config.calibration}"
    elif "widen_percent" in given and not config.tries:
        yield "--widen-percent had no effect: --effort fast widens nothing"
    if "block_size" in given and (not config.block_bits or config.weights == DYNAMIC):
        yield f"--block-size had no effect: it is for --weights int4_block and int8_block, and this is {config.weights}"
    if config.block_bits and not any(d["precision"] in IN_BLOCKS for d in manifest["decisions"]):
        option = "--dynamic" if config.weights == DYNAMIC else f"--weights {config.weights}"
        named = "" if config.weights == DYNAMIC else "; --block-nodes NAME asks for a smaller one, or says why not"
        yield f"{option} had no effect: no matrix product has constant float weights that are large enough{named}"
    if config.effort == "best" and "rounding" not in manifest:
        yield f"--effort best had no effect: {_why_not_learned(manifest, config)}"
    if profiled and "int16" in given and not any(d["precision"] == "int16" for d in manifest["decisions"]):
        yield "--int16 had no effect: nothing that it names has a form in int16"


def _why_not_learned(manifest: Manifest, config: QuantConfig) -> str:
    if not config.learns_rounding:
        return "it is for --weights int4_block and int8_block, which learn how to round"
    if config.has_target:
        return "layers are chosen for a target instead"
    if manifest["agreement"] is None:
        return "weights learn from samples how to round: give --data"
    return "weights that learned how to round agree no better with float, as far as these samples tell"
