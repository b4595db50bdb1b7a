import csv
import os
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from PIL import Image


def prepared(file):
    picture = np.asarray(Image.open(file).convert("RGB"), np.float32)[:, :, ::-1]
    picture = picture - np.array([104, 117, 123], np.float32)
    return {"data_0": picture.transpose(2, 0, 1)[None]}


def labelled(row):
    return prepared(Path(os.environ["TEST"], row["file"])), int(row["label"])


def accuracy(model, rows):
    return float(np.mean([model(feeds)[0].argmax() == label for feeds, label in rows]))


files = sorted(Path(os.environ["CALIBRATION"]).glob("*.jpg"))
with Path(os.environ["TEST"], "labels.csv").open() as labels:
    rows = [labelled(row) for row in csv.DictReader(labels)]
result = nncf.quantize_with_accuracy_control(
    ov.Core().read_model(os.environ["MODEL"]),
    nncf.Dataset(files, prepared),
    nncf.Dataset(rows, lambda r: r[0]),
    lambda model, _: accuracy(model, rows),
    max_drop=0.01,
    subset_size=len(files),
)
ov.save_model(result, "target.xml")
