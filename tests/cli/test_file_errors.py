"""What the file system has against a command is one line, whichever part of the command met it."""

import errno

import click
import pytest

from xlprompt.cli.file_errors import FileError, file_errors_explained
from xlprompt.data.whole_files import write_whole


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Make room on its disk"),
        (errno.EROFS, "Make it and its folder accessible"),
        (errno.EACCES, "Make it and its folder accessible"),
        (errno.ENOENT, "Bring it or its folder back"),
        (errno.EISDIR, "Something else is there"),
    ],
)
def test_a_file_that_cannot_be_written_is_named_with_what_to_do(number, remedy):
    with (
        pytest.raises(FileError, match=f"^scores.json: .*{remedy}.*run the command again$"),
        file_errors_explained(),
    ):
        raise OSError(number, "what the system says", "scores.json")


def test_an_error_that_no_user_can_mend_keeps_its_traceback():
    with pytest.raises(BrokenPipeError), file_errors_explained():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_command_that_cannot_write_ends_in_one_line(xlprompt, monkeypatch, tmp_path):
    command = click.Command("report", callback=lambda: (tmp_path / "gone" / "report.md").write_text("text"))
    monkeypatch.setattr("xlprompt.cli.main.XlpromptGroup.get_command", lambda *_: command)
    result = xlprompt("report")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"Error: {tmp_path / 'gone' / 'report.md'}: No such file or directory. Bring"
    )
    assert result.stderr.count("\n") == 1


def test_a_file_is_written_whole_or_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "report.md"
    write_whole(path, "größer")
    assert path.read_bytes() == "größer".encode()

    def full(self, _target):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "smaller")
    assert path.read_text() == "größer"
    assert list(path.parent.iterdir()) == [path]
