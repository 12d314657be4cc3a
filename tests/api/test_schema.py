"""The API does what its OpenAPI document says, whatever is thrown at it."""

import json

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from marketplace.kernel import problems

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance, content_type_conformance]

pytestmark = pytest.mark.django_db


@pytest.fixture
def document(db):
    """The document, and the real WSGI application behind it, whose requests may not end the test's own connection."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi("/api/schema", get_wsgi_application())
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_breaks_the_api(document, shop, data):
    operations = [operation.ok() for operation in document.get_all_operations()]
    operation = data.draw(st.sampled_from(operations), label="operation")
    case = data.draw(operation.as_strategy(), label="case")
    case.call_and_validate(checks=CHECKS)


def test_a_problem_that_is_not_as_the_document_says_would_be_noticed(document, monkeypatch):
    operation = document["/api/products/{sku}"]["GET"]
    case = operation.Case(path_parameters={"sku": "nothing"})
    assert case.call_and_validate(checks=CHECKS).status_code == 404
    monkeypatch.setattr(problems, "to_json", lambda body: json.dumps({**body, "code": None}))
    with pytest.raises(FailureGroup):
        case.call_and_validate(checks=CHECKS)


def test_the_document_names_every_call_of_the_design(document):
    calls = {(operation.ok().method.upper(), operation.ok().path) for operation in document.get_all_operations()}
    assert calls >= {
        ("GET", "/api/products"), ("GET", "/api/products/{sku}"), ("GET", "/api/orders"), ("POST", "/api/orders"),
        ("GET", "/api/orders/{order_id}"), ("GET", "/api/orders/user/{user_id}"),
        ("POST", "/api/orders/{order_id}/pay"), ("POST", "/api/orders/{order_id}/cancel"),
        ("GET", "/api/orders/{order_id}/saga"), ("POST", "/api/token"),
    }  # fmt: skip
