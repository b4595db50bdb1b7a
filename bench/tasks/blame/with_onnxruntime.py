import itertools
import os
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.qdq_loss_debug import (
    collect_activations,
    compute_activation_error,
    create_activation_matching,
    modify_model_output_intermediate_tensors,
)
from PIL import Image


class Pictures(CalibrationDataReader):
    def __init__(self, folder):
        self.files = itertools.islice(sorted(Path(folder).glob("*.jpg")), 8)

    def get_next(self):
        file = next(self.files, None)
        if file is None:
            return None
        picture = np.asarray(Image.open(file).convert("RGB"), np.float32)[:, :, ::-1]
        picture = picture - np.array([104, 117, 123], np.float32)
        return {"data_0": picture.transpose(2, 0, 1)[None]}


found = []
for name in ("prepared", "int8"):
    modify_model_output_intermediate_tensors(f"{name}.onnx", f"{name}_all.onnx")
    found.append(collect_activations(f"{name}_all.onnx", Pictures(os.environ["CALIBRATION"])))
errors = compute_activation_error(create_activation_matching(found[1], found[0]))
for name, error in sorted(errors.items(), key=lambda item: item[1]["xmodel_err"])[:5]:
    print(f"{name}: {error['xmodel_err']:.1f} dB, {error['qdq_err']:.1f} dB alone")
