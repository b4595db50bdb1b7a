import csv
import os
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

folder = Path(os.environ["TEST"])
session = onnxruntime.InferenceSession("int8.onnx")
right = []
for row in csv.DictReader((folder / "labels.csv").open()):
    picture = np.asarray(Image.open(folder / row["file"]).convert("RGB"), np.float32)[:, :, ::-1]
    picture = picture - np.array([104, 117, 123], np.float32)
    [scores] = session.run(None, {"data_0": picture.transpose(2, 0, 1)[None]})
    right.append(scores.argmax() == int(row["label"]))
print(f"top-1 accuracy {np.mean(right):.1%}")
