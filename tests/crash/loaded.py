"""What each worker of the crash matrix needs, loaded before it is forked: it would else take longer than its work."""

from fulfillment.carriers.sandbox.client import SandboxCarrier
from marketplace.sandbox.client import certificates
from payments.gateways.sandbox.client import SandboxGateway

__all__ = ["SandboxCarrier", "SandboxGateway"]

certificates()
