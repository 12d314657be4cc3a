from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fulfillment', '0009_scans_that_are_stuck'),
    ]

    operations = [
        migrations.AddField(
            model_name='shipment',
            name='label_printing_at',
            field=models.DateTimeField(blank=True, help_text='Since when somebody is at printing it, for the first time.', null=True),
        ),
    ]
