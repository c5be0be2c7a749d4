"""Bodies of requests, read whole and within limits before anything looks at them."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class LimitedBody:
    """ASGI middleware that refuses a body that is too large (413) or too slow (408)."""

    def __init__(self, app: ASGIApp, *, most: int, seconds: float) -> None:
        """Stand in front of an application.

        Args:
            app: It.
            most: Bytes of a body.
            seconds: For all of it to come.
        """
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and hand it on as one piece."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "0")
        refused: JSONResponse | None = None
        try:
            if said.isdecimal() and int(said) > self._most:
                raise _TooLarge
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except _Gone:
            return
        except _TooLarge:
            reason = f"the body is over {self._most} bytes. Send fewer texts at a time"
            refused = refusal(413, reason)
        except TimeoutError:
            refused = refusal(408, f"the body did not come within {self._seconds:g} seconds")
        if refused is not None:
            refused.headers["connection"] = "close"  # what is left of the body is not read
            await refused(scope, receive, send)
            return
        pieces: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pieces.pop() if pieces else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            body += message.get("body", b"")
            if len(body) > self._most:
                raise _TooLarge
            if not message.get("more_body", False):
                return bytes(body)


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    pass


def refusal(
    status: int, reason: str, field: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error's answer: its reason, and the field of the request that it is about, or null."""
    return JSONResponse({"error": {"reason": reason, "field": field}}, status, headers)
