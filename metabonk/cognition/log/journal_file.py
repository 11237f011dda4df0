"""The journal's file: what is in it, and how it is opened without harm to a file that is another's.

Knows SQLite and the tables; does not know who writes rows or what they mean. One process writes,
any number reads meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from metabonk.errors import CorruptError, LinkError

FILE = "decisions.sqlite"
APPLICATION = 0x4D424331  # "MBC1", in the file's header
VERSION = 1
_PAGE = 16_384  # bytes: rows of one to two kilobytes leave little of it empty
_WAL_BYTES = 4 << 20

SCHEMA = """
CREATE TABLE decisions(
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
  at REAL NOT NULL,        -- seconds since 1970, when it was decided
  status TEXT NOT NULL,    -- ok, fallback, stale, rejected, error
  code TEXT NOT NULL, reason TEXT NOT NULL,
  question TEXT NOT NULL, cause TEXT NOT NULL, episode INTEGER NOT NULL, goal TEXT NOT NULL,
  answer TEXT NOT NULL,    -- JSON, as vocabulary.spell writes it
  in_force TEXT NOT NULL,  -- JSON, empty for none
  backend TEXT NOT NULL, model TEXT NOT NULL, mode TEXT NOT NULL,
  confidence REAL NOT NULL, probabilities TEXT NOT NULL, reasoning TEXT NOT NULL,
  server_ms REAL NOT NULL, stages TEXT NOT NULL,
  protocol INTEGER NOT NULL,
  state BLOB NOT NULL,     -- situation.shrink
  frames BLOB NOT NULL,    -- MessagePack: [[hash, seconds from the capture, predicted], …]
  UNIQUE(agent, epoch, sequence));
CREATE TABLE outcomes(
  agent TEXT NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
  at REAL NOT NULL, status TEXT NOT NULL, applied INTEGER NOT NULL, seconds REAL NOT NULL,
  reward REAL NOT NULL, health_change REAL NOT NULL, kills INTEGER NOT NULL, xp REAL NOT NULL,
  alive INTEGER NOT NULL, age_ms REAL NOT NULL,
  PRIMARY KEY(agent, epoch, sequence)) WITHOUT ROWID;
CREATE VIEW joined AS SELECT d.*, o.at AS outcome_at, o.status AS seen_status, o.applied,
  o.seconds, o.reward, o.health_change, o.kills, o.xp, o.alive, o.age_ms
  FROM decisions d JOIN outcomes o USING(agent, epoch, sequence);
"""


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself after some errors
            connection.execute("ROLLBACK")
        raise


def open_readonly(folder: Path | str) -> sqlite3.Connection:
    """A journal for reading, also while it is written. Raises CorruptError, FileNotFoundError."""
    path = Path(folder) / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no journal here")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    try:
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def open_writable(path: Path, power_safe: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=5.0, check_same_thread=False, cached_statements=32
    )
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        if not _tables(connection):
            connection.execute(f"PRAGMA page_size={_PAGE}")
            with transaction(connection):
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION}")
                connection.execute(f"PRAGMA user_version={VERSION}")
        _check(connection, path)  # before anything that would change a file which is not ours
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_BYTES // _PAGE}")
        connection.execute(f"PRAGMA synchronous={'FULL' if power_safe else 'NORMAL'}")
    except sqlite3.OperationalError as error:
        connection.close()
        raise OSError(f"{path}: {error}; is the disk full, or not writable?") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise CorruptError(f"{path}: {error}; move it away to begin a new journal") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _check(connection: sqlite3.Connection, path: Path) -> None:
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise CorruptError(f"{path}: {error}; move it away to begin a new journal") from error
    if application != APPLICATION:
        raise CorruptError(f"{path}: not a journal of decisions; move it away to begin one")
    if version != VERSION:
        raise CorruptError(
            f"{path}: a journal of version {version}, this program writes {VERSION}; "
            "move it away to begin a new one"
        )


def lock(folder: Path) -> int:
    """A lock that ends with the process, however that ends."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise LinkError(
            f"{folder}: another process writes this journal; give one of them another folder"
        ) from error
    return fd
