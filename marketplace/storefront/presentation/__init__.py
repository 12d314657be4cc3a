"""What an order and its saga look like to a shopper: plain words, and nothing that knows of a request or of HTML.

`sentences` says what happened, `money` whether money moved, `tracker` how far it is, `receipt` what was done when, and
`page` puts them together.
"""
