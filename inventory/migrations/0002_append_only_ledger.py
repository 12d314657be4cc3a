"""The ledger can't be rewritten: the database refuses to change or delete an entry, whoever asks."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION inventory_ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the stock ledger is append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME,
              HINT = 'Write an ADJUST entry that corrects it instead.';
END
$$;
CREATE TRIGGER inventory_ledger_append_only BEFORE UPDATE OR DELETE ON inventory_ledger
    FOR EACH ROW EXECUTE FUNCTION inventory_ledger_refuse_change();
"""

ALLOW = """
DROP TRIGGER inventory_ledger_append_only ON inventory_ledger;
DROP FUNCTION inventory_ledger_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("inventory", "0001_catalogue_stock_ledger")]

    operations = [migrations.RunSQL(REFUSE, ALLOW)]
