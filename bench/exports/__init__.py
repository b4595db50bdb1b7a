"""Networks as torch's two exporters write them, with random weights: made once, then measured beside onnxruntime."""
