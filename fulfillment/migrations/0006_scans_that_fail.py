"""A scan that could not be passed on keeps what was in the way, and when it is tried again."""

from django.db import migrations, models

# What a carrier said still can't be rewritten: only what became of passing it on.
ALLOW = """
CREATE OR REPLACE FUNCTION fulfillment_scan_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ours CONSTANT text[] := ARRAY['told_at', 'tell_again_at', 'tries', 'trouble'];
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - ours = to_jsonb(OLD) - ours THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'scans are append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END
$$;
"""

AS_BEFORE = """
CREATE OR REPLACE FUNCTION fulfillment_scan_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'told_at' = to_jsonb(OLD) - 'told_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'scans are append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("fulfillment", "0005_shipments_by_reference")]

    operations = [
        migrations.AddField(
            "scan",
            "tell_again_at",
            models.DateTimeField(blank=True, help_text="Not before; empty: as soon as may be.", null=True),
        ),
        migrations.AddField(
            "scan",
            "tries",
            models.PositiveIntegerField(db_default=0, help_text="How often it could not be passed on."),
        ),
        migrations.AddField(
            "scan",
            "trouble",
            models.TextField(blank=True, db_default="", help_text="What was in the way."),
        ),
        migrations.RunSQL(ALLOW, AS_BEFORE),
    ]
