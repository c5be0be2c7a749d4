"""The pages of a server: one to try its models by hand, and one about its API. Nothing is from elsewhere."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

import jinja2
from fastapi import FastAPI, Response

_TYPES = {"try.html": "text/html", "try.js": "text/javascript", "page.css": "text/css"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def add_pages(app: FastAPI) -> None:
    """Add `/`, what it loads, and `/docs`."""
    for path, name in (("/", "try.html"), ("/try.js", "try.js"), ("/page.css", "page.css")):
        app.get(path, include_in_schema=False)(functools.partial(_file, name))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _response(_docs(app.openapi()), "text/html")


async def _file(name: str) -> Response:
    return _response(_text(name), _TYPES[name])


def _response(text: str, kind: str) -> Response:
    return Response(text, media_type=kind, headers=_HEADERS)


@functools.cache
def _text(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _docs(document: dict[str, Any]) -> str:
    """An OpenAPI document as a page."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["json"] = functools.partial(json.dumps, ensure_ascii=False)
    return environment.from_string(_text("docs.html")).render(document=document)
