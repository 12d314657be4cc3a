"""The least that an order saga must keep, and the least SQL that moves it: what the limit and the peer run on."""

import psycopg

SCHEMA = """
DROP SCHEMA IF EXISTS minimal CASCADE;
CREATE SCHEMA minimal;
SET search_path = minimal;
CREATE TABLE item (sku int PRIMARY KEY, free int NOT NULL CHECK (free >= 0), held int NOT NULL CHECK (held >= 0));
CREATE TABLE purchase (id bigserial PRIMARY KEY, sku int NOT NULL, units int NOT NULL, amount int NOT NULL,
    status text NOT NULL, step smallint NOT NULL, changed_at timestamptz NOT NULL);
CREATE TABLE hold (purchase_id bigint PRIMARY KEY, sku int NOT NULL, units int NOT NULL, status text NOT NULL);
CREATE TABLE charge (purchase_id bigint PRIMARY KEY, amount int NOT NULL, status text NOT NULL);
CREATE TABLE step_done (id bigserial PRIMARY KEY, purchase_id bigint NOT NULL, step smallint NOT NULL,
    at timestamptz NOT NULL);
CREATE INDEX ON step_done (purchase_id);
CREATE TABLE counter (last bigint NOT NULL);
CREATE TABLE invoice (number bigint PRIMARY KEY, purchase_id bigint NOT NULL UNIQUE, amount int NOT NULL);
CREATE TABLE reserved (id bigserial PRIMARY KEY, sku int NOT NULL);
CREATE TABLE told (id bigserial PRIMARY KEY, topic text NOT NULL, body jsonb NOT NULL);
INSERT INTO item SELECT n, 100000000, 0 FROM generate_series(0, 999) AS n;
INSERT INTO purchase (sku, units, amount, status, step, changed_at)
    SELECT n % 1000, 1, 1999, 'CONFIRMED', 4, now() FROM generate_series(1, 5000) AS n;
INSERT INTO hold SELECT id, sku, 1, 'SOLD' FROM purchase;
INSERT INTO charge SELECT id, 1999, 'CAPTURED' FROM purchase;
INSERT INTO counter VALUES (5000);
INSERT INTO invoice SELECT n, id, 1999 FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM purchase) AS one;
"""

# One transaction each, for any number of orders. They move what the real one's statements move, without its columns.
PLACE = """
WITH placed AS (
    INSERT INTO minimal.purchase (sku, units, amount, status, step, changed_at)
    SELECT sku, 1, 1999, 'CREATED', 0, now() FROM unnest(%s::int[]) AS sku RETURNING id)
SELECT array_agg(id) FROM placed
"""
RESERVE = """
WITH due AS MATERIALIZED (SELECT id, sku, units FROM minimal.purchase WHERE id = ANY(%(ids)s) AND step = 0),
locked AS MATERIALIZED (
    SELECT sku, free FROM minimal.item WHERE sku IN (SELECT sku FROM due) ORDER BY sku FOR UPDATE),
granted AS MATERIALIZED (
    SELECT id, sku, units FROM (
        SELECT id, sku, units, free, sum(units) OVER (PARTITION BY sku ORDER BY id) AS so_far
        FROM due JOIN locked USING (sku)) AS queue WHERE so_far <= free),
level AS (UPDATE minimal.item AS i SET free = free - g.units, held = held + g.units
    FROM (SELECT sku, sum(units) AS units FROM granted GROUP BY sku) AS g WHERE i.sku = g.sku),
kept AS (INSERT INTO minimal.hold SELECT id, sku, units, 'HELD' FROM granted),
noted AS (INSERT INTO minimal.step_done (purchase_id, step, at) SELECT id, 1, clock_timestamp() FROM granted)
UPDATE minimal.purchase AS p SET status = 'RESERVED', step = 1, changed_at = now() FROM granted AS g WHERE p.id = g.id
"""
PAY = """
WITH moved AS (UPDATE minimal.purchase SET status = 'PAID', step = 2, changed_at = now()
    WHERE id = ANY(%(ids)s) AND step = 1 RETURNING id, amount),
noted AS (INSERT INTO minimal.step_done (purchase_id, step, at) SELECT id, 2, clock_timestamp() FROM moved)
INSERT INTO minimal.charge SELECT id, amount, 'AUTHORIZED' FROM moved
"""
CONFIRM = """
WITH locked AS MATERIALIZED (SELECT sku FROM minimal.item WHERE sku IN (
    SELECT sku FROM minimal.purchase WHERE id = ANY(%(ids)s)) ORDER BY sku FOR UPDATE),
sold AS (UPDATE minimal.hold SET status = 'SOLD' WHERE purchase_id = ANY(%(ids)s) AND status = 'HELD'
    AND sku IN (SELECT sku FROM locked) RETURNING purchase_id AS id, sku, units),
level AS (UPDATE minimal.item AS i SET held = held - s.units
    FROM (SELECT sku, sum(units) AS units FROM sold GROUP BY sku) AS s WHERE i.sku = s.sku),
taken AS (UPDATE minimal.charge AS c SET status = 'CAPTURED' FROM sold WHERE c.purchase_id = sold.id),
noted AS (INSERT INTO minimal.step_done (purchase_id, step, at) SELECT id, 3, clock_timestamp() FROM sold),
announced AS (INSERT INTO minimal.told (topic, body)
    SELECT 'confirmed', jsonb_build_object('purchase', id, 'amount', 1999) FROM sold),
counted AS (UPDATE minimal.counter SET last = last + (SELECT count(*) FROM sold) RETURNING last),
invoiced AS (INSERT INTO minimal.invoice (number, purchase_id, amount)
    SELECT last - count(*) OVER () + row_number() OVER (ORDER BY id), id, 1999 FROM sold CROSS JOIN counted)
UPDATE minimal.purchase AS p SET status = 'CONFIRMED', step = 4, changed_at = now() FROM sold WHERE p.id = sold.id
"""

# What a reservation is where nobody thinks of groups: one unit of the one popular SKU, and a commit.
TAKE_ONE = """
WITH taken AS (UPDATE minimal.item SET free = free - 1, held = held + 1 WHERE sku = 0 AND free >= 1 RETURNING sku)
INSERT INTO minimal.reserved (sku) SELECT sku FROM taken;
"""


def create(url: str) -> None:
    """Make the schema anew."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute("VACUUM ANALYZE minimal.purchase, minimal.hold, minimal.charge, minimal.item")


def check(url: str) -> int:
    """Return how many orders are confirmed; raises AssertionError unless all are, and the stock adds up."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE status = 'CONFIRMED'), count(*),"
            " (SELECT sum(100000000 - free) FROM minimal.item), (SELECT sum(held) FROM minimal.item),"
            " (SELECT count(*) FROM minimal.told), (SELECT max(number) FROM minimal.invoice),"
            " (SELECT count(*) FROM minimal.invoice) FROM minimal.purchase"
        ).fetchone()
    assert row is not None
    confirmed, purchases, taken, held, told, last_number, invoices = row
    assert last_number == invoices == purchases, row  # one for each order, and no gap
    assert (confirmed, taken, held, told) == (purchases, purchases - 5000, 0, purchases - 5000), row
    return int(told)
