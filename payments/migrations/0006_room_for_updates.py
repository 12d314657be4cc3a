from django.db import migrations


class Migration(migrations.Migration):
    """Leave room in the pages for HOT updates: what becomes of a call, and of its payment, is in no index."""

    dependencies = [
        ("payments", "0005_webhook_inbox"),
    ]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE payments_payment SET (fillfactor = 50)",
            "ALTER TABLE payments_payment RESET (fillfactor)",
        ),
        migrations.RunSQL(
            "ALTER TABLE payments_attempt SET (fillfactor = 45)",
            "ALTER TABLE payments_attempt RESET (fillfactor)",
        ),
    ]
