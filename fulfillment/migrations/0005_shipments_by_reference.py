"""An index for the webhooks of carriers that name a parcel by their own reference only."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("fulfillment", "0004_batches")]

    operations = [
        migrations.AddIndex(
            model_name="shipment",
            index=models.Index(
                condition=models.Q(("carrier_reference", ""), _negated=True),
                fields=["carrier", "carrier_reference"],
                name="shipments_by_reference",
            ),
        ),
    ]
