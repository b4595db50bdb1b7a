import csv
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.qdq_loss_debug import (
    collect_activations,
    compute_activation_error,
    create_activation_matching,
    modify_model_output_intermediate_tensors,
)
from PIL import Image


def prepared(file):
    picture = np.asarray(Image.open(file).convert("RGB"), np.float32)[:, :, ::-1]
    picture = picture - np.array([104, 117, 123], np.float32)
    return {"data_0": picture.transpose(2, 0, 1)[None]}


class Pictures(CalibrationDataReader):
    def __init__(self, count):
        self.files = iter(sorted(Path(os.environ["CALIBRATION"]).glob("*.jpg"))[:count])

    def get_next(self):
        file = next(self.files, None)
        return None if file is None else prepared(file)


def accuracy(path):
    session, folder = onnxruntime.InferenceSession(path), Path(os.environ["TEST"])
    rows = csv.DictReader((folder / "labels.csv").open())
    return np.mean([session.run(None, prepared(folder / r["file"]))[0].argmax() == int(r["label"]) for r in rows])


def blamed():
    found = []
    for name in ("prepared", "int8"):
        modify_model_output_intermediate_tensors(f"{name}.onnx", f"{name}_all.onnx")
        found.append(collect_activations(f"{name}_all.onnx", Pictures(8)))
    errors = compute_activation_error(create_activation_matching(found[1], found[0]))
    made_by = {o: n.name for n in onnx.load("prepared.onnx").graph.node for o in n.output}
    worst = sorted(errors, key=lambda name: errors[name]["qdq_err"])
    return [made_by[name] for name in worst if name in made_by]


want = accuracy("prepared.onnx") - 0.01
layers = blamed()
for kept in range(0, len(layers), 4):
    quantize_static(
        "prepared.onnx",
        "target.onnx",
        Pictures(None),
        nodes_to_exclude=layers[:kept],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    if accuracy("target.onnx") >= want:
        break
print(f"{kept} layers float")
