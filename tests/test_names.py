"""One word has one meaning: words that docs/glossary.md retired are no identifiers and no file names."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "glossary.md"
FILES = sorted((ROOT / "qglow").rglob("*.py"))


def retired() -> frozenset[str]:
    """The words in the last column of the page's table."""
    rows = [
        line.split("|")
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| ---")
    ]
    return frozenset(word for row in rows[1:] for word in re.findall(r"`(\w+)`", row[-2]))


def identifiers(path: Path) -> set[str]:
    with tokenize.open(path) as file:
        return {t.string for t in tokenize.generate_tokens(file.readline) if t.type == tokenize.NAME}


@pytest.mark.smoke
def test_the_page_lists_words() -> None:
    assert len(retired()) > 30 and {"Kind", "magnifying", "homes"} <= retired()


@pytest.mark.smoke
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_retired_words_are_not_used(path: Path) -> None:
    used = (identifiers(path) | {path.stem}) & retired()
    assert not used, f"{path.relative_to(ROOT)}: {sorted(used)} (docs/glossary.md has the words to use)"
