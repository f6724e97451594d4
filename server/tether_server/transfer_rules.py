"""What a caller chooses about a transfer, as each of the two ends has to know it."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict, Unpack, get_args

from tether_runtime_client.protocol.actions import DownloadAction, UploadAction
from tether_runtime_client.protocol.attributes import FileAttributes, Owner, Receiving
from tether_runtime_client.protocol.errors import InvalidAction, UnknownUser
from tether_runtime_client.protocol.selection import Selection
from tether_runtime_client.protocol.tarpack import Packing

WHERE = "on this machine"
OWNERS = "Use names that are known where it is written, or numbers as in 1000:1000"
PATTERNS = "Patterns are those of .gitignore, for names below the top: *.log, /build/, src/**/*.py"

Links = Literal["refuse", "keep", "follow", "skip"]


class TransferOptions(TypedDict, total=False):
    """The options of `upload`, `download` and `copy_to`.

    `links`: symbolic links that lead to a place inside the tree are copied as links. One that is
    absolute or climbs out of the tree ends the transfer in `UnsafeArchive` (`"refuse"`, the
    default), is copied as it is and noted (`"keep"`), or is left out and noted (`"skip"`).
    `"follow"` copies what links lead to in the place of all of them.

    `owner`: files belong to whoever receives them (None, the default), keep the numbers of their
    user and group (`"keep"`), or are all given to a user of the receiving side (`"user"`,
    `"user:group"`, names or numbers). Only root can give files away.

    `xattrs`: take over extended attributes in the namespace `user`.

    `include`, `exclude`: glob patterns as in `.gitignore`, for names below a tree's top. Only what
    `include` matches is copied, where it is not empty, and nothing that `exclude` matches.
    """

    links: Links
    owner: str | None
    xattrs: bool
    include: Sequence[str]
    exclude: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rules:
    """The options, checked: `of` makes them."""

    links: Links = "refuse"
    owner: str | None = None
    xattrs: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, **options: Unpack[TransferOptions]) -> Rules:
        """Raises InvalidAction, and TypeError for an option that there is not."""
        for name in options.keys() - TransferOptions.__annotations__.keys():
            known = ", ".join(TransferOptions.__annotations__)
            raise TypeError(f"a transfer has no option {name!r}: it has progress, {known}")
        links, owner = options.get("links", "refuse"), options.get("owner")
        if links not in get_args(Links):
            raise InvalidAction(
                f"links={links!r} is none of {', '.join(get_args(Links))}",
                hint="docs/transfers.md says what becomes of links with each",
            )
        if owner == "":
            raise InvalidAction("owner='' names nobody", hint=OWNERS)
        rules = cls(
            links,
            owner,
            options.get("xattrs", False),
            _patterns(options.get("include", ())),
            _patterns(options.get("exclude", ())),
        )
        rules.packing()
        return rules

    def packing(self) -> Packing:
        """What is read here."""
        try:
            selection = Selection(self.include, self.exclude)
        except ValueError as problem:
            raise InvalidAction(str(problem), hint=PATTERNS) from None
        return Packing(self.links == "follow", self.xattrs, selection)

    def receiving(self) -> Receiving:
        """How to write here. Raises UnknownUser."""
        owner: Owner | None = None
        if self.owner is not None:
            owner = "keep" if self.owner == "keep" else find_owner(self.owner)
        return Receiving(WHERE, self._links_there, owner, self.xattrs)

    def download_action(self, path: str) -> DownloadAction:
        """What the sandbox that is read from is asked."""
        return DownloadAction(
            path=path,
            include=self.include,
            exclude=self.exclude,
            follow_links=self.links == "follow",
            xattrs=self.xattrs,
        )

    def upload_action(
        self, path: str, kind: Literal["file", "tree"], attributes: FileAttributes | None
    ) -> UploadAction:
        """What the sandbox that is written to is asked."""
        return UploadAction(
            path=path,
            kind=kind,
            attributes=attributes,
            links=self._links_there,
            owner=self.owner,
            xattrs=self.xattrs,
        )

    @property
    def _links_there(self) -> Literal["refuse", "skip", "keep"]:
        """A sender that follows links sends none, so that none has to be taken."""
        return "refuse" if self.links == "follow" else self.links


DEFAULT_RULES: Final = Rules()


def find_owner(owner: str) -> tuple[int, int]:
    """The numbers of a user and a group of this machine; without a group it is the user's own."""
    user, separator, group = owner.partition(":")
    try:
        account = None if user.isdecimal() else pwd.getpwnam(user)
        uid = int(user) if account is None else account.pw_uid
        if separator:
            return uid, int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        return uid, (account or pwd.getpwuid(uid)).pw_gid
    except (KeyError, OverflowError):
        raise UnknownUser(
            f"there is no user or group {owner!r} on this machine",
            hint=OWNERS,
        ) from None


def _patterns(given: Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
