"""What a buyer is told by mail: what, to whom, when, and what became of it.

    kinds      which event calls for which mail, and why one may be untrue by now
    intake     from events to rows: one for each event and recipient, written before anything is sent
    reminders  the one mail that time calls for: a reservation is about to end
    sending    claim what is due, look whether it is still true, write it, hand it over, mark it
    texts      the words of each mail about an order, and in `return_texts` about a return; see marketplace/locale
    writing    words and order into a mail, as text and as HTML
    again      a person has one sent once more
    links      the way from a mail to the order's page
    selectors  what was told about an order, and how far behind the post is

A row is WAITING until it is SENT, SKIPPED (it had become untrue), FAILED (a final no, or a day without a yes), or
NO_RECIPIENT from the start. Delivery is at least once: where a worker dies, or a server falls silent, between its yes
and our mark, the mail goes out again under the same Message-ID (docs/adr says why).
"""
