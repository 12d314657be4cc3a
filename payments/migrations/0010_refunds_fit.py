"""No refund is asked for beyond what those that are done, and those under way, have left of what was captured.

Checked when the transaction commits that asks, with the payment locked, so that of two at once one sees the other. Not
checked is what a gateway says that it has done: that is a fact, and `refunds_add_up` and the payment's own CHECK say
how much of it there can be. While nothing is known to be captured (the answer may have been lost), the whole amount may
be asked back.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION payments_refund_fits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    most bigint;
    asked bigint;
BEGIN
    SELECT COALESCE(NULLIF(captured_minor, 0), amount_minor) - reversed_minor INTO most
    FROM payments_payment WHERE id = NEW.payment_id FOR NO KEY UPDATE;
    SELECT sum(amount_minor) INTO asked
    FROM payments_refund WHERE payment_id = NEW.payment_id AND status IN ('PENDING', 'DONE');
    IF asked > most THEN
        RAISE EXCEPTION 'payment % has % to give back, but refunds of % are done or under way', NEW.payment_id, most,
            asked USING ERRCODE = 'check_violation', CONSTRAINT = 'refund_fits';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER refund_fits AFTER INSERT ON payments_refund
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status = 'PENDING')
    EXECUTE FUNCTION payments_refund_fits();

CREATE CONSTRAINT TRIGGER refund_still_fits AFTER UPDATE ON payments_refund
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.status = 'PENDING' AND (OLD.status <> 'PENDING' OR NEW.amount_minor > OLD.amount_minor))
    EXECUTE FUNCTION payments_refund_fits();

-- Those that are done were told when they were done, in the way of that time.
UPDATE payments_refund SET settled_at = updated_at, told_at = CASE WHEN status = 'DONE' THEN updated_at END
WHERE status IN ('DONE', 'FAILED');
"""

BACKWARDS = """
DROP TRIGGER refund_still_fits ON payments_refund;
DROP TRIGGER refund_fits ON payments_refund;
DROP FUNCTION payments_refund_fits();
"""


class Migration(migrations.Migration):
    dependencies = [("payments", "0009_refund_objects")]

    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
