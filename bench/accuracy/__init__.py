"""How much accuracy int8 costs, beside onnxruntime's quantizer and NNCF: the same calibration samples, other tests."""
