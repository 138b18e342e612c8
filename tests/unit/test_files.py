"""Files that are complete or absent, whoever else writes them."""

import pytest

from sgrpo_verl.files import write_whole


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
