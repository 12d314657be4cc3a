"""Stripe, by its official SDK: PaymentIntents that are held first and captured later.

client    the gateway: what we ask of Stripe
webhooks  what Stripe tells us
reading   what Stripe's objects and errors mean in our words
"""
