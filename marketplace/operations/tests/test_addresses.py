"""The addresses that belong to nobody else: the API's description, and what is not there."""


def test_the_schema_is_complete_and_without_a_login(client, db):
    response = client.get("/api/schema", headers={"accept": "application/json"})
    assert response.status_code == 200
    paths = response.json()["paths"] if "json" in response["Content-Type"] else response.content.decode()
    for path in ("/api/products", "/api/orders", "/api/orders/{order_id}/saga"):
        assert path in paths


def test_the_browsable_page_loads_nothing_from_elsewhere(client, db):
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "/static/drf_spectacular_sidecar/" in page.content.decode()
    assert "https://" not in page.content.decode()


def test_what_is_not_there_is_told_in_the_words_of_who_asked(client, db):
    api, page = client.get("/api/nothing"), client.get("/nothing")
    assert (api.status_code, api.json()["code"]) == (404, "not_found")
    assert page.status_code == 404
    assert page["Content-Type"].startswith("text/html")
