"""The seal of a file of tensors: a hash of all its bytes, kept in its own metadata, so that the file stays one of the
same format.

It is the SHA-256 of the header, with zeros where the seal stands, and of the tensors' own hashes in the order of their
names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ..graph import Array
from ..graph.digest import digests
from .tensors import header_of

BLANK = "0" * 64
_FIELD = b'"seal":"'  # NOTE: within a string of the header its quotes would be escaped, so this is found once


def seal_of(header: bytes, hashes: Mapping[str, str]) -> str:
    """Of a header whose seal may be any, and of the hashes of the tensors. Raises ValueError where the header has no
    place for a seal."""
    at = header.index(_FIELD) + len(_FIELD)
    blank = header[:at] + BLANK.encode() + header[at + len(BLANK) :]
    return hashlib.sha256(blank + "".join(hashes[n] for n in sorted(hashes)).encode()).hexdigest()


def sealed(data: bytes, arrays: Mapping[str, Array]) -> bytes:
    """The file's bytes with its seal; its metadata must have `seal`, as long as BLANK."""
    header = header_of(data)
    at = 8 + header.index(_FIELD) + len(_FIELD)
    return data[:at] + seal_of(header, digests(arrays)).encode() + data[at + len(BLANK) :]
