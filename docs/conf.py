"""How the site is built: `make docs`. Nothing is fetched, and a warning is an error."""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

sys.path.insert(0, str(DOCS / "extensions"))
sys.path[:0] = [str(source) for source in sorted(ROOT.glob("packages/*/src"))]

project = "xlprompt"
author = "the xlprompt authors"
copyright = "the xlprompt authors; Apache License 2.0"  # noqa: A001  # Sphinx's name for it

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "from_code",
]
exclude_patterns = ["extensions"]

# Every inner link and anchor is checked. Types in signatures are no links: without a network there is nothing
# that they could lead to.
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "attrs_inline"]

autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
add_module_names = False

html_theme = "furo"
html_title = "xlprompt"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

_OUTSIDE = re.compile(r"\]\(((?:\.\./)+[^)#\s]+\.md)(#[^)\s]*)?\)")


def _outside_files_are_downloads(app, docname, source):
    """Link a page of the repository that is none of the site as a file; MyST would take it for a page."""

    def as_path(link: re.Match[str]) -> str:
        target = (DOCS / docname).parent.joinpath(link[1]).resolve()
        return link[0] if target.is_relative_to(DOCS) else f"](path:{link[1]})"

    source[0] = _OUTSIDE.sub(as_path, source[0])


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", _outside_files_are_downloads)
