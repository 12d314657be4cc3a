"""Who buys and who runs the shop."""

from django.contrib.auth.models import AbstractUser
from django.db import models

from marketplace.kernel.ids import new_id


class User(AbstractUser):
    """A person with a login. `username` is the public name of the account: the API's `userId`, never changed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.EmailField("e-mail address", blank=True)
