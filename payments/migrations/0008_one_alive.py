"""An order has one living payment: a second one needs the first to be given up, and that is for good.

For a payment of the first sequence, as nearly all are, the trigger is never called.
"""

from django.db import migrations, models

FORWARDS = """
CREATE FUNCTION payments_one_alive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'payment % was given up, which is for good', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'one_payment_alive';
    END IF;
    IF NOT EXISTS (SELECT FROM payments_payment
                   WHERE reference_id = NEW.reference_id AND sequence = NEW.sequence - 1
                     AND given_up_at IS NOT NULL) THEN
        RAISE EXCEPTION 'payment % of % has to wait until the one before it is given up', NEW.sequence, NEW.reference_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'one_payment_alive';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER one_payment_alive AFTER INSERT ON payments_payment
    FOR EACH ROW WHEN (NEW.sequence > 1) EXECUTE FUNCTION payments_one_alive();

CREATE TRIGGER given_up_for_good AFTER UPDATE OF given_up_at ON payments_payment
    FOR EACH ROW WHEN (OLD.given_up_at IS DISTINCT FROM NEW.given_up_at AND OLD.given_up_at IS NOT NULL)
    EXECUTE FUNCTION payments_one_alive();
"""

BACKWARDS = """
DROP TRIGGER given_up_for_good ON payments_payment;
DROP TRIGGER one_payment_alive ON payments_payment;
DROP FUNCTION payments_one_alive();
"""


class Migration(migrations.Migration):
    dependencies = [("payments", "0007_watched_keys")]

    operations = [
        migrations.AddField(
            model_name="payment",
            name="given_up_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When its order went on to another payment: from then on, money under this one goes back.",
                null=True,
            ),
        ),
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
