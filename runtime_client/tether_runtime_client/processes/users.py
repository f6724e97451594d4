"""From what people write for a user (`name`, `uid`, `uid:gid`, `name:group`) to numbers.

Reads /etc/passwd and /etc/group itself, as container engines do: the C library's look-ups load
modules of the image (NSS), which may not fit the C library that this Python brings along.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .errors import UnknownUser, UserNotPermitted

PASSWD = "/etc/passwd"
GROUP = "/etc/group"
_MAX_ID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class Account:
    """Who a process runs as. `groups` are the supplementary ones, `home` is `/` when unknown."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that name the user."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    @property
    def is_current(self) -> bool:
        """True when this process is that user already, so that nothing has to be changed."""
        return (self.uid, self.gid) == (os.geteuid(), os.getegid()) and not (
            set(self.groups) - set(os.getgroups())
        )


def find_account(user: str | int) -> Account:
    """Look up a user as engines do.

    A name gets its own group and supplementary groups; a number that /etc/passwd does not know
    gets group 0, or this process's group when it is this process's number; an explicit group is
    the only one. Raises UnknownUser, or UserNotPermitted when this process may not become it.
    """
    name, separator, group = str(user).partition(":")
    account = _by_user(name, str(user))
    if separator:
        account = replace(account, gid=_gid(group, str(user)), groups=())
    elif account.uid == os.geteuid() != 0:
        # It cannot change its groups and need not: it keeps those it was started with.
        account = replace(account, gid=os.getegid(), groups=())
    if os.geteuid() != 0 and not account.is_current:
        raise UserNotPermitted(
            f"this client runs as user {os.geteuid()} and cannot become {user!r}",
            "Start the sandbox as root to run processes as other users",
            user=str(user),
        )
    return account


def with_group(user: str | None, group: str | None) -> str | None:
    """A user as `find_account` takes it, its group named apart; None for this process's user."""
    if group is None:
        return user
    return f"{os.geteuid() if user is None else user}:{group}"


def find_owner(owner: str) -> tuple[int, int]:
    """The numbers of a user and a group to own files; raises UnknownUser.

    Without a group it is the user's own, or group 0 of a number that /etc/passwd does not know.
    """
    name, separator, group = owner.partition(":")
    account = _by_user(name, owner)
    return account.uid, _gid(group, owner) if separator else account.gid


def user_name(uid: int) -> str | None:
    """The name of a user, None where /etc/passwd has none."""
    return next((each[0] for each in _records(PASSWD, 7) if _number(each[2]) == uid), None)


def group_name(gid: int) -> str | None:
    """The name of a group, None where /etc/group has none."""
    return next((each[0] for each in _records(GROUP, 3) if _number(each[2]) == gid), None)


def _by_user(name: str, user: str) -> Account:
    number = _number(name)
    for fields in _records(PASSWD, 7):
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is None or gid is None:
            continue
        if fields[0] == name or uid == number:
            return Account(uid, gid, _groups_of(fields[0], gid), fields[0], fields[5] or "/")
    if number is None:
        raise UnknownUser(
            f"there is no user {name!r} in {PASSWD}", "Use a name from there or a number", user=user
        )
    gid = os.getegid() if number == os.geteuid() else 0
    return Account(number, gid, (), name, "/")


def _gid(group: str, user: str) -> int:
    number = _number(group)
    for fields in _records(GROUP, 3):
        gid = _number(fields[2])
        if gid is not None and (fields[0] == group or gid == number):
            return gid
    if number is None:
        raise UnknownUser(
            f"there is no group {group!r} in {GROUP}",
            "Use a name from there or a number",
            user=user,
        )
    return number


def _groups_of(name: str, own: int) -> tuple[int, ...]:
    found = {own}
    for fields in _records(GROUP, 4):
        gid = _number(fields[2])
        if gid is not None and name in fields[3].split(","):
            found.add(gid)
    return tuple(sorted(found))


def _records(path: str, at_least: int) -> Iterator[list[str]]:
    """The lines of an account file as lists of fields; a missing file has none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(":")
        if len(fields) >= at_least:
            yield fields


def _number(text: str) -> int | None:
    """A user or group number; None when it is no number, or none the kernel takes."""
    if text.isascii() and text.isdecimal() and int(text) <= _MAX_ID:
        return int(text)
    return None
