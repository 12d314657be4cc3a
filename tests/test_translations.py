"""What ships in German is complete, and what is compiled is what is written: nobody needs gettext to run the shop."""

import ast
import gettext
import re
from collections.abc import Collection, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.conf import settings
from django.template import engines
from django.template.base import Lexer, Node, NodeList, TextNode, TokenType
from django.templatetags.i18n import BlockTranslateNode, TranslateNode

ROOT = Path(settings.BASE_DIR)
GERMAN = Path(settings.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES"
STOREFRONT = ROOT / "marketplace" / "storefront"
PAGES = sorted(path.relative_to(STOREFRONT / "templates") for path in (STOREFRONT / "templates").rglob("*.html"))
SOURCES = [
    path
    for app in ("marketplace", "orders", "inventory", "payments", "fulfillment")
    for path in (ROOT / app).rglob("*.py")
    if not {"tests", "migrations"} & set(path.parts)
]
MARKS = {"gettext", "gettext_lazy", "gettext_noop", "ngettext", "_"}
FOR_OURSELVES = {"Limit"}  # what a limit counts is its key in Redis
NAMES = {"Marketplace", "PDF", "PayPal"}  # the same in every language
_FOR_PEOPLE = re.compile(r"[a-z] [a-z]|^[A-Z][a-z]+ |^ [a-z]+.*\.$|[a-z][.…?!]$")
_FOR_BROWSERS = re.compile(r"https:|'nonce|^<")
READ_ALOUD = {"alt", "aria-label", "placeholder", "title"}


@pytest.fixture(scope="module")
def catalog():
    with (GERMAN / "django.po").open("rb") as written:
        return read_po(written, locale="de")


def test_every_text_is_translated(catalog):
    assert len(catalog) > 50
    assert [message.id for message in catalog if message.id and not all(_texts(message))] == []
    assert [message.id for message in catalog if message.id and message.fuzzy] == []


def test_the_placeholders_are_the_same(catalog):
    assert [error for message in catalog for error in message.check(catalog)] == []


def test_what_is_compiled_is_what_is_written(catalog):
    with (GERMAN / "django.mo").open("rb") as compiled:
        known = gettext.GNUTranslations(compiled)
    different = [
        message.id
        for message in catalog
        if message.id and not message.pluralizable and known.gettext(str(message.id)) != message.string
    ]
    assert different == [], "run `make translations`"


def test_every_text_of_the_sources_is_in_the_catalog(catalog):
    known = {text for message in catalog for text in _ids(message)}
    marked = {text for path in SOURCES for text in _marked(ast.parse(path.read_text()))}
    marked |= {text for page in PAGES for text in _translated(_nodes(page))}
    assert len(marked) > 400
    assert marked - known == set(), "run `make translations`"


@pytest.mark.parametrize("template", PAGES, ids=str)
def test_no_text_of_a_page_goes_untranslated(template):
    bare = _Bare()
    bare.feed("".join(_literal(_nodes(template))))
    assert bare.found == []
    assert list(_said_in_tags(template)) == []


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.is_relative_to(STOREFRONT)],
    ids=lambda path: path.relative_to(STOREFRONT).as_posix(),
)
def test_no_sentence_of_the_storefront_goes_untranslated(path):
    tree = ast.parse(path.read_text())
    marked = set(_marked(tree, by=MARKS | FOR_OURSELVES))
    assert [text for text in _sentences(tree) if text not in marked] == []


def test_an_unmarked_text_is_found(tmp_path):
    """What the tests above would say of a page that somebody has forgotten."""
    forgotten = engines["django"].from_string(
        '{% load i18n %}<p title="Hello">{% translate "Fine" %}{% if x %}Not {{ y }} fine{% endif %}</p>'
    )
    bare = _Bare()
    bare.feed("".join(_literal(forgotten.template.nodelist)))
    assert bare.found == ["Hello", "Not  fine"]
    tree = ast.parse('"""Doc."""\nmessages.error(r, f"It costs {x} now.")\nsay(gettext("All is well."), "Not good.")')
    assert set(_sentences(tree)) - set(_marked(tree)) == {"It costs ", " now.", "Not good."}


def _texts(message):
    return message.string if isinstance(message.string, (tuple, list)) else [message.string]


def _ids(message):
    return list(message.id) if isinstance(message.id, (tuple, list)) else [message.id]


# --- what a page says -------------------------------------------------------------------------------------------------


def _nodes(page: Path) -> NodeList:
    return engines["django"].get_template(str(page)).template.nodelist


def _walk(nodes: NodeList) -> Iterator[Node]:
    for node in nodes:
        yield node
        for name in node.child_nodelists:
            yield from _walk(getattr(node, name, ()))


def _translated(nodes: NodeList) -> Iterator[str]:
    """The texts that are looked up in the catalog."""
    for node in _walk(nodes):
        if isinstance(node, TranslateNode):
            yield str(node.filter_expression.var.literal)
        elif isinstance(node, BlockTranslateNode):
            text = node.render_token_list(node.singular)[0]
            yield text.strip() if node.trimmed else text


def _literal(nodes: NodeList) -> Iterator[str]:
    """What is written as it stands, with nothing where something is filled in."""
    return (node.s for node in _walk(nodes) if isinstance(node, TextNode))


def _said_in_tags(page: Path) -> Iterator[str]:
    """Words in quotes in a tag that hands them on to be shown."""
    source = (STOREFRONT / "templates" / page).read_text()
    for token in Lexer(source).tokenize():
        if token.token_type != TokenType.BLOCK or token.contents.split()[0] in {"translate", "blocktranslate"}:
            continue
        quoted = (one or other for one, other in re.findall(r"\"([^\"]*)\"|'([^']*)'", token.contents))
        yield from (text for text in quoted if re.search(r"[a-z] |^[A-Z][a-z]", text))


class _Bare(HTMLParser):
    """Finds what a person would read: text, and what is read aloud or shown by a script."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in READ_ALOUD or name == "data-busy":
                self._take(value or "")

    def handle_data(self, data: str) -> None:
        self._take(data)

    def _take(self, text: str) -> None:
        words = re.findall(r"[^\W\d_]+", text)
        if any(word not in NAMES for word in words):
            self.found.append(text.strip())


# --- what Python says -------------------------------------------------------------------------------------------------


def _marked(tree: ast.AST, *, by: Collection[str] = MARKS) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by:
            texts = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant)]
            yield from texts if node.func.id == "ngettext" else texts[:1]


def _sentences(tree: ast.AST) -> Iterator[str]:
    """Strings that read like something for a person: they begin with a capital or a blank, or end like a sentence."""
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    said = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    for node in said:
        if node not in docs and _FOR_PEOPLE.search(node.value) and not _FOR_BROWSERS.search(node.value):
            yield node.value
