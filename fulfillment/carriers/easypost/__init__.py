"""EasyPost, by its official SDK: one door to many carriers.

client    the carrier: what we ask of EasyPost
webhooks  what EasyPost tells us
reading   what EasyPost's objects and errors mean in our words

A service is called `carrier:service`, such as `USPS:GroundAdvantage`: so it stands in the delivery rates.
"""
