"""Is this order what it seems? What is asked about it, the rules that staff keep, and what a person looks at.

    protocol   what a checker is given and answers; whoever writes one reads only this
    checks     the checkers that are here: the gateway's own word, the rules, the deny list
    judging    asks every checker, and says what follows: pass, review or reject
    rulebook   the rules in force, kept in memory for a second
    velocity   so many orders, or so much money, within so long: the one query that looks at other orders
    keys       how e-mail addresses, places and people are written so that they can be compared
    models     rules, the deny list, what was changed of them, and reviews
    services   changing rules and the deny list, on record
    reviews    orders that wait for a person: opened and closed by the saga, decided by staff

Reasons are for staff alone. A buyer reads the same neutral words whatever it was.
"""
