"""Whom the embedded servers run as.

PostgreSQL refuses to run as root. So when root starts us, the servers run as an unprivileged user, who may then be
unable to pass through the folders above the project or above the data (a clone below `/root`, say). Those folders are
not ours to open; the servers get the one capability that reads through them instead.
"""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.embedded.errors import CannotStart

CANDIDATES = ("postgres", "nobody")
READ_THROUGH = "+dac_read_search"


@dataclass(frozen=True)
class Account:
    """The user a server runs as: ourselves (`uid` None), or an unprivileged one when we are root."""

    uid: int | None = None
    gid: int | None = None
    reads_through: bool = False  # needs a capability to pass the folders above

    def command(self, command: Sequence[str], *, death_signal: signal.Signals) -> list[str]:
        """Return the command as this user runs it. A change of user forgets the death signal, so it is told here."""
        if not self.reads_through:
            return list(command)
        return [
            "setpriv",
            *("--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"),
            *("--inh-caps", READ_THROUGH, "--ambient-caps", READ_THROUGH),
            *("--securebits", "+no_setuid_fixup"),  # else access(2) forgets the capability, and PostgreSQL asks it
            *("--pdeathsig", death_signal.name.removeprefix("SIG")),
            "--",
            *command,
        ]

    def popen_arguments(self) -> dict[str, Any]:
        """Return what `subprocess` needs to become this user, where `command` does not see to it."""
        if self.uid is None or self.reads_through:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> Path:
        """Give a folder or file of ours to this user, closed to everybody else."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)
        path.chmod(0o700 if path.is_dir() else 0o600)
        return path


def server_account(*, data: Path, programs: Sequence[Path]) -> Account:
    """Return the user for servers that keep their data in the folder `data` and run these programs.

    Raises CannotStart when we are root and no unprivileged user can reach the programs.
    """
    if os.geteuid() != 0:
        return Account()
    name, uid, gid = _unprivileged_user(data)
    for account in (Account(uid, gid), Account(uid, gid, reads_through=True)):
        if all(_reaches(account, program, data.parent) for program in programs):
            return account
    raise CannotStart(
        f"PostgreSQL refuses to run as root, and the user {name!r} can't reach {programs[0]} or {data.parent}. "
        "Put the project where every user can enter, run it as another user, or set DATABASE_URL and REDIS_URL."
    )


def _unprivileged_user(data: Path) -> tuple[str, int, int]:
    """The owner of the data if there is some already, so that a user added later doesn't lock us out of it."""
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return f"uid {owner.st_uid}", owner.st_uid, owner.st_gid
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return name, entry.pw_uid, entry.pw_gid
    raise CannotStart(
        "PostgreSQL refuses to run as root, and there is no user 'nobody' to run it as. "
        "Run as another user, or set DATABASE_URL and REDIS_URL."
    )


def _reaches(account: Account, program: Path, folder: Path) -> bool:
    """Whether this user can run the program and pass through the folder: asked of the kernel, who knows every rule."""
    return _runs(account, [str(program), "--version"]) and _runs(account, ["ls", "-d", f"{folder}/."])


def _runs(account: Account, command: Sequence[str]) -> bool:
    if account.reads_through and shutil.which("setpriv") is None:
        return False
    try:
        done = subprocess.run(  # noqa: S603 - programs of ours, by their full path
            account.command(command, death_signal=signal.SIGKILL),
            cwd="/",
            capture_output=True,
            check=False,
            timeout=30,
            **account.popen_arguments(),
        )
    except PermissionError:
        return False
    return done.returncode == 0
