"""A shipment knows the language of whoever opens the parcel; those that are there already are read in English."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("fulfillment", "0006_scans_that_fail")]

    operations = [
        migrations.AddField(
            model_name="shipment",
            name="language",
            field=models.CharField(
                db_default="en", default="en", help_text="Of its packing slip: the order's.", max_length=8
            ),
        ),
    ]
