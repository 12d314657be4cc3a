"""How fast waiting orders are drained by the shop's own Celery workers."""

import time
from subprocess import Popen

from benchmarks import processes, shop
from benchmarks.report import Figure
from marketplace.sagas import doorbell
from orders.sagas.place_order import PlaceOrder

WARM_UP = 1000  # orders drained before the clock runs: imports, connections, and tables that PostgreSQL knows
POLL_SECONDS = 0.1  # the look itself takes a moment of what is measured
AT_HOME_SECONDS = 1.0  # by then nobody is on the line any more (`marketplace.sagas.doorbell`)
PATIENCE_SECONDS = 300.0


def thousand_skus(count: int) -> Figure:
    """Drain `count` orders over 1,000 SKUs, all of which can be paid."""
    return Figure("drained, 1,000 SKUs", _drain(count, skus=1000), "orders/s")


def hot_sku(count: int) -> Figure:
    """Drain `count` orders of one and the same SKU."""
    return Figure("drained, one hot SKU", _drain(count, skus=1), "orders/s")


def declined(count: int) -> Figure:
    """Drain `count` orders of which 30 % are declined, and so have their stock put back."""
    return Figure("drained, 30 % declined", _drain(count, skus=1000, declined=0.3), "orders/s")


def _drain(count: int, *, skus: int, declined: float = 0.0) -> float:
    shop.empty(skus=skus)
    with processes.running(processes.workers()) as workers:
        failing = shop.fill(WARM_UP, skus=skus, declined=declined)
        until_idle(workers)
        failing += shop.fill(count, skus=skus, declined=declined)
        seconds = drained(workers, count)
    shop.check(confirmed=WARM_UP + count - failing, failed=failing)
    return count / seconds


def until_idle(workers: Popen[bytes]) -> None:
    """Let the workers do all there is, and go home: who lingers would begin with what is not all there yet."""
    until_done(workers)
    time.sleep(AT_HOME_SECONDS)


def drained(workers: Popen[bytes], count: int) -> float:
    """Return the seconds until the `count` orders that wait are placed; then have them shipped, too.

    Raises RuntimeError if somebody has begun with them before the clock runs.
    """
    shop.settle()
    if shop.not_begun() != count:
        raise RuntimeError("The workers have not waited for the clock.")
    seconds = until_done(workers, only=PlaceOrder.name)  # what is to be shipped then has its turn after that
    until_done(workers)
    return seconds


def until_done(workers: Popen[bytes], *, only: str = "") -> float:
    """Ring once, as the last order of many would have; return the seconds until nothing (`only` of one) is left."""
    begun = time.perf_counter()
    doorbell.ring(PlaceOrder.steps[0].queue)
    while shop.working(only=only):
        if workers.poll() is not None:
            raise RuntimeError("The workers are gone.")
        if time.perf_counter() - begun > PATIENCE_SECONDS:
            raise TimeoutError("The orders are not drained.")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - begun
