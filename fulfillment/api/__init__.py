"""The HTTP API of fulfillment: where carriers tell of their scans."""
