qglow profile "$MODEL" --data "$CALIBRATION" -o model.profile.json
qglow quantize "$MODEL" --profile model.profile.json -o int8.qglow
