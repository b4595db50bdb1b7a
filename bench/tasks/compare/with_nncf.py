import os
from pathlib import Path

import numpy as np
import openvino as ov
from PIL import Image

names = (os.environ["MODEL"], "int8.xml", "target.xml")
sessions = [ov.compile_model(name, "CPU") for name in names]
signal, noise, same, count = 0.0, np.zeros(2), np.zeros(2), 0
for file in sorted(Path(os.environ["CALIBRATION"]).glob("*.jpg")):
    picture = np.asarray(Image.open(file).convert("RGB"), np.float32)[:, :, ::-1]
    picture = picture - np.array([104, 117, 123], np.float32)
    want, *found = [s({"data_0": picture.transpose(2, 0, 1)[None]})[0] for s in sessions]
    signal, count = signal + np.sum(want**2), count + 1
    noise += [np.sum((want - f) ** 2) for f in found]
    same += [want.argmax() == f.argmax() for f in found]
for name, n, s in zip(names[1:], noise, same, strict=True):
    print(f"{name}: {10 * np.log10(signal / n):.1f} dB, same choice in {s / count:.1%}")
