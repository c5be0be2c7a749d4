"""One browser for all tests of pages."""

import pytest
from browsers import open_browser, why_no_browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if why_no_browser():
        pytest.skip(why_no_browser())
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
