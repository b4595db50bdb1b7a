qglow report "$MODEL" int8.qglow target.qglow --data "$CALIBRATION" --no-latency --layer-samples 0
