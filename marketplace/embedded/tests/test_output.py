"""What of a process's output reaches the terminal, and what only its file."""

import pytest

from marketplace.embedded.output import SAVE_AT_BYTES, Log


@pytest.fixture
def log(tmp_path):
    log = Log("web", tmp_path, quiet=False)
    yield log
    log.close()


def test_warnings_are_shown_with_what_follows_them_and_the_rest_is_on_file(log, capsys):
    log.feed(b"12:00 [info     ] served\n12:01 [warning  ] odd\nTraceback\n12:02 [info     ] served\nmore of it\n")
    assert capsys.readouterr().out.splitlines() == ["web      | 12:01 [warning  ] odd", "web      | Traceback"]
    assert len(log.path.read_text().splitlines()) == 5


def test_json_lines_are_understood(log, capsys):
    log.feed(b'{"event": "a", "level": "info"}\n{"event": "b", "level": "error"}\n')
    assert capsys.readouterr().out.splitlines() == ['web      | {"event": "b", "level": "error"}']


def test_a_line_that_comes_in_pieces_is_shown_whole(log, capsys):
    log.feed(b"[error    ] half")
    assert capsys.readouterr().out == ""
    log.feed(b" and half\n[error    ] unended")
    log.close()
    assert capsys.readouterr().out.splitlines() == [
        "web      | [error    ] half and half",
        "web      | [error    ] unended",
    ]
    assert log.last == ["[error    ] half and half", "[error    ] unended"]


def test_a_quiet_one_only_writes_its_file(tmp_path, capsys):
    log = Log("postgres", tmp_path, quiet=True)
    log.feed(b"FATAL: no\n")
    log.close()
    assert capsys.readouterr().out == ""
    assert log.last == ["FATAL: no"]
    assert log.path.read_text() == "FATAL: no\n"


def test_a_long_file_is_set_aside(tmp_path):
    (tmp_path / "web.log").write_bytes(b"x" * (SAVE_AT_BYTES + 1))
    log = Log("web", tmp_path, quiet=True)
    log.feed(b"new\n")
    log.close()
    assert log.path.read_text() == "new\n"
    assert (tmp_path / "web.log.1").stat().st_size == SAVE_AT_BYTES + 1
