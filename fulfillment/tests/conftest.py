from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401
from marketplace.sandbox.testing import nobody_listens  # noqa: F401
