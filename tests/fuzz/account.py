"""What a run found: a table by kind, and one file for each cause."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

from .cases import KINDS
from .pool import Answer

COLUMNS = (
    "refused",
    "ran",
    "compared",
    "large",
    "wrong",
    "internal",
    "message",
    "memory",
    "leak",
    "pickle",
    "crash",
    "hang",
)
FINDINGS = COLUMNS[4:]


class Account:
    """Counts by kind, and the smallest case of each finding's cause."""

    def __init__(self, folder: Path | None = None) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.found: dict[str, Answer] = {}
        self.folder = folder
        self.slowest = 0.0

    def add(self, answer: Answer) -> bool:
        """Whether this is a finding of a cause that was not seen yet."""
        self.counts[answer.asked["kind"]][answer.outcome] += 1
        self.slowest = max(self.slowest, answer.seconds)
        if answer.outcome not in FINDINGS:
            return False
        known = self.found.get(answer.where)
        if known is None or len(answer.data) < len(known.data):
            self.found[answer.where] = answer
            self._keep(answer)
        return known is None

    def _keep(self, answer: Answer) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"[^A-Za-z0-9]+", "-", answer.where)[:60].strip("-")
            path = self.folder / f"{answer.asked['kind']}-{name}{Path(answer.name).suffix}"
            path.write_bytes(answer.data)
            path.with_suffix(path.suffix + ".why").write_text(
                f"{answer.asked} {answer.name}\n{answer.outcome}: {answer.text}\n"
            )

    @property
    def total(self) -> int:
        return sum(sum(c.values()) for c in self.counts.values())

    @property
    def findings(self) -> int:
        return sum(c[f] for c in self.counts.values() for f in FINDINGS)

    def table(self) -> str:
        rows = [("kind", "cases", *COLUMNS)]
        rows += [
            (k, str(sum(self.counts[k].values())), *(str(self.counts[k][c]) for c in COLUMNS))
            for k in KINDS
            if self.counts[k]
        ]
        sums = Counter[str]()
        for c in self.counts.values():
            sums.update(c)
        rows.append(("all", str(self.total), *(str(sums[c]) for c in COLUMNS)))
        widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
        return "\n".join(
            "  ".join(w.ljust(n) if not k else w.rjust(n) for k, (w, n) in enumerate(zip(r, widths, strict=True)))
            for r in rows
        )
