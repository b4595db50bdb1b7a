qglow profile "$MODEL" --data "$CALIBRATION" -o model.profile.json
qglow quantize "$MODEL" --profile model.profile.json --max-accuracy-drop 1 --data "$TEST" -o target.qglow
