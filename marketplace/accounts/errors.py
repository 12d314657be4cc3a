"""What accounts refuse."""

from marketplace.kernel.errors import Refusal


class WrongCredentials(Refusal):
    """The user name or the password is wrong."""

    code = "wrong_credentials"
