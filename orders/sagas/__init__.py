"""The sagas of an order: the definitions read like a page, their handlers lie beside them by subject."""
