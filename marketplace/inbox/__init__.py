"""Webhooks that come in: written down once, answered at once, looked into later, for a day, and replayable.

What they are about is an app's business: it has a table of them (with the columns of `Inbox`), verifies what comes,
and looks into it. What all of them have in common is here.
"""

from marketplace.inbox.rows import FIRST_PAUSE, KEPT, LONGEST_PAUSE, PATIENCE, Inbox, pause_after

__all__ = ["FIRST_PAUSE", "KEPT", "LONGEST_PAUSE", "PATIENCE", "Inbox", "pause_after"]
