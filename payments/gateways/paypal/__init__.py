"""PayPal, by its official SDK: Orders v2 that are authorized first and captured later.

client    the gateway: what we ask of PayPal
wire      the SDK's client, and what its errors mean in our words
webhooks  what PayPal tells us
reading   what PayPal's orders mean in our words
"""
