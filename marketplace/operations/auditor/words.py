"""How an audit names what it speaks of."""

from typing import Any
from uuid import UUID

from marketplace.kernel.money import format_minor


def money(minor: int, currency: str) -> str:
    """`1299.00 EUR`"""
    return f"{format_minor(int(minor), currency)} {currency}"


def order(order_id: UUID | None, number: str | None) -> str:
    """`order M-100001 (0190…)`, or by its id alone where there is no order of that id."""
    if number:
        return f"order {number} ({order_id})"
    return f"order {order_id}, which does not exist"


def units(count: Any) -> str:
    """`1 unit`, `2 units`"""
    return f"{count} unit{'s' * (int(count) != 1)}"


def saga(status: str | None) -> str:
    """`a saga that is COMPLETED`, `no saga`"""
    return f"a saga that is {status}" if status else "no saga"
