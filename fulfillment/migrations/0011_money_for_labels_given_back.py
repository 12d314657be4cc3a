from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fulfillment', '0010_one_prints_the_new_ones'),
    ]

    operations = [
        migrations.AddField(
            model_name='shipment',
            name='label_refund',
            field=models.CharField(blank=True, choices=[('SUBMITTED', 'SUBMITTED'), ('REFUNDED', 'REFUNDED'), ('REJECTED', 'REJECTED')], db_default='', default='', help_text='What became of the money for a label that was given back.', max_length=9),
        ),
        migrations.AddField(
            model_name='shipment',
            name='label_refund_at',
            field=models.DateTimeField(blank=True, help_text='Since when that is so.', null=True),
        ),
        migrations.AddField(
            model_name='shipment',
            name='label_refund_look_at',
            field=models.DateTimeField(blank=True, help_text='When the carrier is asked about it next.', null=True),
        ),
        migrations.AddIndex(
            model_name='shipment',
            index=models.Index(condition=models.Q(('label_refund', 'SUBMITTED')), fields=['label_refund_look_at'], name='shipments_label_refund_due'),
        ),
        migrations.AddIndex(
            model_name='shipment',
            index=models.Index(condition=models.Q(('label_refund', 'REJECTED')), fields=['-label_refund_at'], name='shipments_label_not_refunded'),
        ),
    ]
