"""What keeps the site from starting or running, told to the person at the terminal in one line.

CannotStart
└── KeepsDying
"""


class CannotStart(Exception):
    """Something outside the program is in the way; the text is one line that says what, and what to do."""


class KeepsDying(CannotStart):
    """A process was started again and again, and never lived long enough to be of use."""
