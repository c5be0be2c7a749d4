"""The documents' pictures are small and fetch nothing, and a terminal is pictured as it was."""

import re
import subprocess
import sys

import pytest
from documents import DOCS, pages

sys.path.insert(0, str(DOCS))

from pictured_terminal import draw, screen_of

pytestmark = pytest.mark.integration

PICTURES = sorted((DOCS / "images").iterdir())


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small_fetches_nothing_and_is_used(picture):
    assert picture.stat().st_size < 150_000
    if picture.suffix == ".svg":
        text = picture.read_text(encoding="utf-8")
        assert not re.search(r"@font-face|@import|<image|(src|href)=.https?:", text)
        assert not re.search(r">[^<]*/(tmp|home|root)/", text)  # where it was made is nobody's business
    assert any(f"images/{picture.name}" in page.read_text(encoding="utf-8") for page in pages())


def test_what_was_wiped_away_is_not_in_the_picture_and_what_scrolled_away_is(tmp_path):
    program = (
        "import os; size = os.get_terminal_size(); print(size.columns, size.lines)\n"
        "for number in range(40): print('row', number)\n"
        "print('50 %', end='\\r'); print('\\x1b[1;32mdone\\x1b[0m')"
    )
    rows = screen_of([sys.executable, "-c", program], tmp_path)
    assert [row.plain for row in rows] == ["80 24", *(f"row {number}" for number in range(40)), "done"]
    draw(rows, tmp_path / "terminal.svg")
    drawn = (tmp_path / "terminal.svg").read_text(encoding="utf-8")
    assert ">row&#160;39</text>" in drawn
    assert "font-weight: bold" in drawn
    assert "http" not in drawn.replace("http://www.w3.org", "").replace("https://www.textualize.io", "")


def test_a_command_that_fails_is_not_pictured(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        screen_of([sys.executable, "-c", "raise SystemExit('no such task')"], tmp_path)
    assert failed.value.output == "no such task"
