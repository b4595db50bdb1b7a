import os
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image


class Pictures(CalibrationDataReader):
    def __init__(self, folder):
        self.files = iter(sorted(Path(folder).glob("*.jpg")))

    def get_next(self):
        file = next(self.files, None)
        if file is None:
            return None
        picture = np.asarray(Image.open(file).convert("RGB"), np.float32)[:, :, ::-1]
        picture = picture - np.array([104, 117, 123], np.float32)
        return {"data_0": picture.transpose(2, 0, 1)[None]}


quant_pre_process(os.environ["MODEL"], "prepared.onnx", skip_symbolic_shape=True)
quantize_static(
    "prepared.onnx",
    "int8.onnx",
    Pictures(os.environ["CALIBRATION"]),
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
    per_channel=True,
)
