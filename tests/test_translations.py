"""What ships in German is complete, and what is compiled is what is written: nobody needs gettext to run the shop."""

import gettext
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.conf import settings

GERMAN = Path(settings.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES"


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


def _texts(message):
    return message.string if isinstance(message.string, (tuple, list)) else [message.string]
