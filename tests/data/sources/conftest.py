"""A folder of a user's files, as tests of its readers write them."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """Writes files into a folder `mine`; gives its path."""

    def write(files: dict[str, str | bytes]):
        for name, content in files.items():
            path = tmp_path / "mine" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / "mine"

    return write
