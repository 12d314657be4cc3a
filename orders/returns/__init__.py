"""Returns: what a buyer sends back of a delivered order, and how far that has come.

    models     a return and its lines, with what must always be true of them
    errors     what a return can be refused for
    selectors  the returns of an order, and what of it can still be returned, until when
    telling    the event of each status that a return takes
    services   asked for, withdrawn, approved, rejected, received: each is written down and told to the saga

The saga is `orders.sagas.return_order`, and only it moves a return's status. One return of an order is open at a time;
when it is over, what is left can be asked for by another one, as long as the term (RETURN_DAYS) lasts. The order itself
stays DELIVERED, and says by its `refund_status` that money went back.

Why nothing comes back twice: a request is made under the order's lock, and refused beyond what was bought and has not
come back; and the vault counts on the sold hold itself what came back onto the shelf.
"""
