"""How much a server takes at a time, so that no request can cost it the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a server; each is refused with a status of its own.

    Attributes:
        body_bytes: Of a request (413).
        texts: Examples of a request (422).
        characters: Of an example, all its texts together (422).
        queue: Requests that wait while others are answered (429).
        seconds: From a request's arrival to its answer (504), and for its body to come (408).
        rows: Examples that are answered together; a request is never divided.
        gather_seconds: How long requests that come together are waited for, where the last ones did.
    """

    body_bytes: int = 1 << 20
    texts: int = 64
    characters: int = 20_000
    queue: int = 256
    seconds: float = 30.0
    rows: int = 256
    gather_seconds: float = 0.004
