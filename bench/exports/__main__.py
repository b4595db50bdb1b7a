"""Networks as torch exports them, through every stage of qglow beside onnxruntime's float and int8.

    python -m bench.exports make FOLDER                 write them; needs the extra: pip install "qglow[exports]"
    python -m bench.exports table FOLDER                measure those in FOLDER, and print the table
    python -m bench.exports table FOLDER --only own_    those whose names start so
    python -m bench.exports table FOLDER --again        also those that were measured before
    python -m bench.exports quantized FOLDER            those that onnxruntime quantized, by their own integers

`make` and `table` may run in different environments. Each row is kept as `NAME.json`, so that a second run goes on.
Decibels are those of the worst output; `-` stands where outputs are not to be compared so, as chosen boxes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .. import options


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    parser.add_argument("what", choices=("make", "table", "quantized"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="starts of names, by comma")
    parser.add_argument("--limit", type=int, default=240, help="seconds for one export, or one row")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing a row; 0: neither times nor int8 peers")
    parser.add_argument("--again", action="store_true", help="measure what was measured before, too")
    options.add_json(parser)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    if given.what == "make":
        from .make import make  # NOTE: it needs torch, and the table does not

        make(given.folder, given.only, given.limit)
        return 0
    if given.what == "quantized":
        from . import quantized

        found = quantized.rows(given.folder, given.only, given.seconds, given.limit)
        quantized.show(found)
    else:
        from .table import rows, show  # NOTE: it needs qglow, and `make` does not

        found = rows(given.folder, given.only, given.seconds, given.limit, given.again)
        show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
