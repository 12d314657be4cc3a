"""Invoices and credit notes: numbered without a gap, in the transaction of what they tell of, and never changed.

An order gets its invoice when it is confirmed, and credit notes for what it is taken back for: at once for the whole,
by `services.credit` for a part. Who sold what to whom, at which price and tax, is copied onto the invoice, so that it
says the same in ten years' time, whatever has become of the shop, the catalogue or the order by then.
"""
