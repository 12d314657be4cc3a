"""`manage.py seed_demo`: a stocked shop, and people to try it with."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from inventory import demo as catalogue
from marketplace.kernel.clock import database_now
from marketplace.operations import demo


class Command(BaseCommand):
    """Load the demo catalogue, and make two buyers and a member of staff; run again, it changes nothing."""

    help = (
        "Fill the shop with a demo catalogue and demo logins whose password everybody can read in the source. "
        "Nothing that exists is changed, so it may be run any number of times."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--tokens`: show the API tokens too."""
        parser.add_argument("--tokens", action="store_true", help="print an API token for each login (made if missing)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Load, make, and say what is there now."""
        new = catalogue.load(now=database_now())
        self.stdout.write(f"Catalogue: {new} new products." if new else "Catalogue: was there already.")
        logins = demo.make_logins()
        tokens = demo.tokens([login.username for login in logins]) if options["tokens"] else {}
        self.stdout.write("Demo logins, for a shop that is not open to the world:")
        for login in logins:
            password = f"password {demo.PASSWORD}" if login.is_new else "was there already, password unchanged"
            token = f"   Authorization: Token {tokens[login.username]}" if tokens else ""
            self.stdout.write(f"  {login.username:<9} {login.role:<9} {password}{token}")
