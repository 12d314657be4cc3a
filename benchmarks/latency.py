"""How long an order takes from the answer to its `POST` until it is confirmed, when there is little to do."""

from benchmarks import confirmed, load, processes, shop, web
from benchmarks.report import Figure, percentiles

RATE = 20.0  # orders a second
WARM_UP_SECONDS = 8.0  # until each of the worker's processes has had a shift: at first, statements are still planned


def until_confirmed(url: str, seconds: float) -> list[Figure]:
    """Post `RATE` orders a second for `seconds`, with a worker beside the web server."""
    shop.empty(skus=load.SKUS)
    shop.settle()
    with (
        web.served() as (clients, _),
        processes.running(processes.workers()),
        confirmed.listening(url) as confirmations,
    ):
        warm = [order.order_id for order in load.steadily(clients.port, web.OURS, rate=RATE, seconds=WARM_UP_SECONDS)]
        confirmations.wait_for(warm)
        answered = {
            order.order_id: order.at
            for order in load.steadily(clients.port, web.OURS, rate=RATE, seconds=max(seconds, 1.0))
        }
        confirmations.wait_for(answered)
    shop.check(confirmed=len(warm) + len(answered), failed=0)
    return percentiles("POST to CONFIRMED", [confirmations.at[order] - at for order, at in answered.items()])
