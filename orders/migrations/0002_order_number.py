from django.db import migrations


class Migration(migrations.Migration):
    """The sequence that order numbers come from."""

    dependencies = [("orders", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE orders_number START WITH 100001 OWNED BY orders_order.number",
            "DROP SEQUENCE orders_number",
        ),
    ]
