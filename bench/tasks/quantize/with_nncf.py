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


files = sorted(Path(os.environ["CALIBRATION"]).glob("*.jpg"))
model = ov.Core().read_model(os.environ["MODEL"])
ov.save_model(nncf.quantize(model, nncf.Dataset(files, prepared), subset_size=len(files)), "int8.xml")
