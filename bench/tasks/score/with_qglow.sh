qglow run int8.qglow --data "$TEST"
