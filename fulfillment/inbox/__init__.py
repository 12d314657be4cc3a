"""What carriers tell by webhook: taken in at once, and looked into later.

    receiving    verified by its carrier, written down once, answered; nothing else happens while the carrier waits
    processing   finds the shipment, takes the scans in (`fulfillment.scanning`), and passes them on

A webhook is signed, so the scans that it tells of are believed; each is taken in once, so duplicates, any order, and a
replay after a year are all the same. One about a parcel that nobody here knows waits for a day.
"""
