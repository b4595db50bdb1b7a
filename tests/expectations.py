"""What a case file asks for: lines `; KEY: VALUE`, and whether what came out is it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from qglow.errors import QGlowError

Asked = dict[str, list[str]]


def asked_of(text: str, keys: tuple[str, ...]) -> Asked:
    """The values of every key of a case's text, in order; a key that does not stand there has none."""
    asked: Asked = {k: [] for k in keys}
    for line in text.splitlines():
        key, found, value = line.removeprefix("; ").partition(": ")
        if line.startswith("; ") and found and key in keys:
            asked[key].append(value.strip())
    return asked


def check(asked: Mapping[str, list[str]], gives: str, text_of: Callable[[], str]) -> None:
    """`error`: the run fails with one line that holds each text. Else its text `holds`, `lacks`, and is what the case
    gives."""
    if asked["error"]:
        with pytest.raises(QGlowError) as caught:
            text_of()
        message = str(caught.value)
        assert "\n" not in message
        for words in asked["error"]:
            assert words in message
        return
    text = text_of()
    for words in asked["holds"]:
        assert words in text, text
    for words in asked["lacks"]:
        assert words not in text, text
    assert gives in ("", text), text
