"""Other runtimes on the same model, input and threads: a call of each, set to answer one request as fast as it can.

onnxruntime: all graph optimizations, and threads that stop spinning when a run ends, for what runs next here is another
runtime. OpenVINO: the latency hint, float parts in f32, inputs and outputs shared with the caller rather than copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError

Call = Callable[[], Any]
PEERS = ("onnxruntime", "openvino")


def onnxruntime_session(model: str | Path | bytes, threads: int) -> Any:
    """An onnxruntime.InferenceSession of a model."""
    import onnxruntime as ort  # NOTE: it is imported where a peer is asked for

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


def onnxruntime_runner(model: str | Path | bytes, feeds: Mapping[str, Any], threads: int) -> Call:
    """A call of onnxruntime on a model."""
    session = onnxruntime_session(model, threads)
    return lambda: session.run(None, feeds)


def openvino_runner(model: str | Path, feeds: Mapping[str, Any], threads: int) -> Call:
    """A call of OpenVINO on an ONNX file or an OpenVINO one (.xml). Raises ConfigError where it is not installed."""
    try:
        import openvino  # NOTE: it may not be installed
    except ImportError as error:
        raise ConfigError("openvino is not installed: pip install qglow[peers]") from error
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(model), "CPU", settings)
    request = compiled.create_infer_request()
    by_port = {port: feeds[next(n for n in feeds if n in port.get_names())] for port in compiled.inputs}
    return lambda: request.infer(by_port, share_inputs=True, share_outputs=True)


def onnxruntime_int8(
    model: str | Path,
    out: str | Path,
    samples: Iterable[Mapping[str, Any]],
    op_types: Sequence[str] | None = None,
    method: str = "MinMax",
) -> Path:
    """onnxruntime's own int8 form of a model: QDQ, u8 activations, s8 weights per channel; both onnxruntime and
    OpenVINO run it.

    op_types: operators to quantize, default all that quantize_static knows. method: MinMax, Entropy or Percentile.
    """
    from onnxruntime import quantization as ort  # NOTE: it takes a second
    from onnxruntime.quantization.shape_inference import quant_pre_process  # NOTE: likewise

    class Feeds(ort.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.samples = iter(samples)

        def get_next(self) -> Mapping[str, Any] | None:
            return next(self.samples, None)

    out = Path(out)
    clean = out.with_suffix(".clean.onnx")
    try:
        quant_pre_process(str(model), str(clean), skip_symbolic_shape=True)
        source = clean
    except Exception:  # NOTE: it fails on some models that quantize_static takes as they are
        source = Path(model)

    def quantize(**extra: bool) -> None:
        kinds = {
            "activation_type": ort.QuantType.QUInt8,
            "weight_type": ort.QuantType.QInt8,
            "quant_format": ort.QuantFormat.QDQ,
        }
        ort.quantize_static(str(source), str(out), Feeds(), per_channel=True, op_types_to_quantize=op_types, **kinds,
                            calibrate_method=ort.CalibrationMethod[method], extra_options=extra)  # fmt: skip

    try:
        try:
            quantize()
        except ValueError:  # NOTE: its check of biases fails on products whose weights have one scale
            if not isinstance(samples, Sequence):
                raise
            quantize(QDQDisableWeightAdjustForInt32Bias=True)
    finally:
        clean.unlink(missing_ok=True)
    return out
