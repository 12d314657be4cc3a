"""How the database is emptied after a test that commits: what was written to is truncated, and nothing else.

Django truncates all hundred tables after each such test, and then makes its content types and permissions anew, which
takes a tenth of a second and more. Here a table that has no page is left alone, for it has no row; and content types
and permissions stay as long as they are what Django made of them.
"""

from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase

MADE_BY_DJANGO = {"auth_permission", "django_content_type"}
by_django = TransactionTestCase._fixture_teardown
_WRITTEN = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = current_schema() AND relkind = 'r' AND relname = ANY(%s) AND pg_relation_size(pg_class.oid) > 0
"""
_STATE = """
SELECT (SELECT string_agg(one::text, ';' ORDER BY id) FROM django_content_type AS one),
       (SELECT string_agg(one::text, ';' ORDER BY id) FROM auth_permission AS one)
"""
_made: dict[str, tuple[str, str]] = {}  # what Django made, by the name of the database


def empty(case: TransactionTestCase) -> None:
    """Leave the database as Django's own emptying does."""
    name = connection.settings_dict["NAME"]
    if case.available_apps is None and _made.get(name) != _state():
        by_django(case)
        _made[name] = _state()
        return
    tables = set(connection.introspection.django_table_names()) - MADE_BY_DJANGO
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN, [list(tables)])
        written = [table for (table,) in cursor.fetchall()]
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), written, allow_cascade=True))


def _state() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(_STATE)
        return cursor.fetchone()
