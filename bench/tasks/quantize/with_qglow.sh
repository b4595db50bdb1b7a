qglow quantize "$MODEL" --data "$CALIBRATION" -o int8.qglow
