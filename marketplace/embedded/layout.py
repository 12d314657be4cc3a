"""Where the zero-install servers live, and the addresses under which they are found.

Pure functions of the data folder: settings, the supervisor and a second terminal all come to the same answer.
"""

import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

SOCKET_PATH_LIMIT = 107  # bytes in sockaddr_un.sun_path, less the closing zero
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - short, and the same for every terminal, which TMPDIR is not
DATABASE = "marketplace"
ROLE = "marketplace"


@dataclass(frozen=True)
class Layout:
    """The paths and addresses below one data folder (absolute)."""

    data_dir: Path

    @property
    def postgres_data(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def valkey_data(self) -> Path:
        return self.data_dir / "valkey"

    @property
    def sandbox_data(self) -> Path:
        return self.data_dir / "sandbox"

    @property
    def carrier_data(self) -> Path:
        return self.data_dir / "carrier"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def password_file(self) -> Path:
        return self.data_dir / "postgres.password"

    @property
    def secret_key_file(self) -> Path:
        return self.data_dir / "secret.key"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "supervisor.lock"

    @property
    def processes_file(self) -> Path:
        return self.data_dir / "processes.json"

    @property
    def sockets(self) -> Path:
        """Below the data folder where its path will do for a socket, else in a folder of our own in /tmp."""
        here = self.data_dir / "run"
        longest = here / ".s.PGSQL.5432.lock"
        if len(bytes(longest)) <= SOCKET_PATH_LIMIT and "," not in str(here):  # to libpq a comma parts two hosts
            return here
        digest = hashlib.sha256(bytes(self.data_dir)).hexdigest()[:16]
        return SHORT_FOLDER / f"marketplace-{digest}"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def database_url(self) -> str:
        password = self.password_file.read_text().strip() if self.password_file.exists() else ""
        return f"postgresql://{ROLE}:{quote(password)}@{quote(str(self.sockets), safe='')}/{DATABASE}"

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.valkey_socket))}?db=0"

    def secret_key(self) -> str:
        """Return this data folder's own Django SECRET_KEY, made on first use and readable by its owner only."""
        return self._secret(self.secret_key_file)

    def password(self) -> str:
        """Return the embedded database's password, made on first use and readable by its owner only."""
        return self._secret(self.password_file)

    def _secret(self, path: Path) -> str:
        """Two processes may come here at once: the first to link its file wins, the other reads it."""
        if not path.exists():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self.data_dir)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(50))
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                os.unlink(draft)
        return path.read_text().strip()
