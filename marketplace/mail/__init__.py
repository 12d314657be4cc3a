"""Handing mails over, to a mail server or to a page: knows no domain, and nothing of when or why.

    letters     what is to be sent, as MIME; how an address is shown where it is nobody's business
    outcomes    sent, refused, unwritable, not now, nobody there, or unknown
    posting     who takes the mails, by EMAIL_URL: an SMTP server, or the mailbox
    smtp        one conversation with a mail server
    mailbox     mails that are collected instead of sent, for whoever develops or tries the shop

Who sends keeps the record of it. A letter's Message-ID is its own and stays the same however often it is handed over:
where it is unknown whether a server has taken it, it is sent again, and whoever sorts mail can tell that it is one.
"""
