"""Files that are complete or absent, whoever else writes them."""

import pytest

from sgrpo_verl.errors import UserError
from sgrpo_verl.files import read_lines, write_whole


def test_two_writers_do_not_write_into_each_others_file(tmp_path):
    file = tmp_path / "summary.json"

    def slow(path):
        path.write_text("the first")
        write_whole(file, "the second")
        assert file.read_text() == "the second"

    write_whole(file, slow)
    assert file.read_text() == "the first", "the last to end has the last word"
    write_whole(file, b"bytes")
    assert file.read_bytes() == b"bytes"
    assert list(tmp_path.iterdir()) == [file]


def test_a_writer_that_fails_leaves_what_there_was(tmp_path):
    file = write_whole(tmp_path / "summary.json", "whole")

    def fails(path):
        path.write_text("ha")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_whole(file, fails)
    assert file.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("line", [b"\0\0\0", b'{"a": "\xe9"}', b'{"a": ', b"", b"[1]", b"5"])
def test_a_damaged_line_is_named(tmp_path, line):
    file = tmp_path / "some.jsonl"
    file.write_bytes(b'{"a": 1}\n' + line + b"\n{}\n")
    lines = read_lines(file)
    assert next(lines) == {"a": 1}
    with pytest.raises(UserError, match=r"some\.jsonl, line 2: is damaged, no JSON object"):
        next(lines)


def test_lines_end_with_line_breaks_alone_and_the_last_may_be_unfinished(tmp_path):
    (tmp_path / "some.jsonl").write_bytes(b'{"a": 1}\r\n{"a": "\xe2\x80\xa8"}\n{"a": "\xe2')
    assert list(read_lines(tmp_path / "some.jsonl")) == [{"a": 1}, {"a": "\u2028"}]
