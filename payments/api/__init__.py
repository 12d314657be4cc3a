"""The payments' HTTP side: what gateways tell us."""
