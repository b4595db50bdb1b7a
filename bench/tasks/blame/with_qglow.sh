qglow diff "$MODEL" int8.qglow --data "$CALIBRATION" --samples 8
