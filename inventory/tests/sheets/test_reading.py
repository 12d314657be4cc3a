import pytest

from inventory.sheets.reading import MOST_BYTES, MOST_LINES, Line, Problem, read


def problems(content: bytes) -> list[tuple[int, str]]:
    return [(problem.line, problem.what) for problem in read(content).problems]


@pytest.mark.parametrize(
    "content",
    [
        b"sku,name\nlamp,A lamp\n",
        b"\xef\xbb\xbfsku;name\r\nlamp;A lamp\r\n",
        b"SKU , Name\n lamp , A lamp \n\n,\n",
        b"name,sku\nA lamp,lamp",
    ],
)
def test_what_spreadsheet_programs_write_is_read(content):
    assert read(content).lines == [Line(2, {"sku": "lamp", "name": "A lamp"})]
    assert problems(content) == []


def test_lines_are_counted_where_they_begin():
    sheet = read(b'sku,description\nlamp,"two\nlines"\nbulb,one\n')
    assert [(line.number, line.cells["description"]) for line in sheet.lines] == [(2, "two\nlines"), (4, "one")]


def test_empty_cells_are_left_out():
    assert read(b"sku,name,image\nlamp,,\n").lines == [Line(2, {"sku": "lamp"})]


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"", 1, "no heading “sku”"),
        (b"name\nA lamp\n", 1, "no heading “sku”"),
        (b"sku,colour\nlamp,red\n", 1, "no column “colour”"),
        (b"sku,name,name\nlamp,a,b\n", 1, "there twice"),
        (b"sku,name\nlamp\n", 2, "1 cells, where there are 2 headings"),
        (b'sku,name\nlamp,"open\n', 2, "Not readable as CSV"),
        ("sku,name\nlamp,größer\n".encode("latin-1"), 1, "not UTF-8"),
        (b"sku,name\nla\0mp,a\n", 1, "not text"),
        (b"sku\n" + b"x" * MOST_BYTES, 1, "more than 1.5 MB"),
        (b"sku\n" + b"lamp\n" * (MOST_LINES + 1), 1, "more than 10,000 lines"),
    ],
)
def test_what_is_wrong_is_said_and_where(content, line, says):
    [(found, what)] = problems(content)
    assert found == line
    assert says in what


def test_one_bad_line_does_not_hide_the_next():
    sheet = read(b"sku,name\nlamp\nbulb,A bulb\nsocket\n")
    assert [problem.line for problem in sheet.problems] == [2, 4]
    assert isinstance(sheet.problems[0], Problem)
    assert [line.number for line in sheet.lines] == [3]
