"""Networks as torch's two exporters write them, with random weights: made once, then measured beside onnxruntime."""

CALIBRATED, TESTED, ELSEWHERE = 6, 14, 2
"""Samples at the profiled shape that calibrate, those behind them that are compared, and those at each other shape."""
