"""What a carrier said can't be rewritten: of a scan only that it was passed on may change."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION fulfillment_scan_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'told_at' = to_jsonb(OLD) - 'told_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'scans are append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END
$$;
CREATE TRIGGER fulfillment_scan_append_only BEFORE UPDATE OR DELETE ON fulfillment_scan
    FOR EACH ROW EXECUTE FUNCTION fulfillment_scan_refuse_change();
"""

ALLOW = """
DROP TRIGGER fulfillment_scan_append_only ON fulfillment_scan;
DROP FUNCTION fulfillment_scan_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("fulfillment", "0001_shipments")]

    operations = [migrations.RunSQL(REFUSE, ALLOW)]
