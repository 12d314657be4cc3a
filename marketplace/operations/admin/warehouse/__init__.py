"""The warehouse's screens: what to fetch, what is packed, what can't be sent, and the labels."""

from marketplace.operations.admin.warehouse.batches import BatchAdmin

__all__ = ["BatchAdmin"]
