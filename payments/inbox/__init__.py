"""The webhook inbox: what gateways tell is taken in at once, and looked into later.

    receiving    verified by its gateway, written down once, answered; nothing else happens while the gateway waits
    bell         tells a worker that something is there; a lost ring loses nothing
    processing   asks the gateway what is really the case, and has the payment follow it (`payments.services.observe`)

A webhook is a hint: that something has changed, and about which charge. Nothing that it says is believed beyond that,
so duplicates, any order, and a replay after a year are all the same: a look at how things stand now.
"""
