"""The refunds of a payment that are done add up to what the payment says was refunded.

Checked when the transaction commits, whichever of the two was changed. The payment's own CHECK keeps its sum within
what was captured, so together no refund can exceed the capture.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION payments_refunds_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    payment uuid;
    said bigint;
    done bigint;
BEGIN
    IF TG_TABLE_NAME = 'payments_payment' THEN
        payment := NEW.id;
    ELSE
        payment := COALESCE(NEW.payment_id, OLD.payment_id);
    END IF;
    SELECT refunded_minor INTO said FROM payments_payment WHERE id = payment;
    SELECT COALESCE(sum(amount_minor), 0) INTO done FROM payments_refund WHERE payment_id = payment AND status = 'DONE';
    IF said IS DISTINCT FROM done AND said IS NOT NULL THEN
        RAISE EXCEPTION 'payment % says % was refunded, but its refunds add up to %', payment, said, done
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_add_up';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER refunds_add_up AFTER INSERT OR UPDATE OR DELETE ON payments_refund
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payments_refunds_add_up();

CREATE CONSTRAINT TRIGGER payment_refunds_add_up AFTER UPDATE ON payments_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.refunded_minor IS DISTINCT FROM NEW.refunded_minor)
    EXECUTE FUNCTION payments_refunds_add_up();
"""

BACKWARDS = """
DROP TRIGGER payment_refunds_add_up ON payments_payment;
DROP TRIGGER refunds_add_up ON payments_refund;
DROP FUNCTION payments_refunds_add_up();
"""


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_initial")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
