"""The shell text that reports a command's end, and notes what outlives the shell. Pure."""

from __future__ import annotations

from typing import NamedTuple

from .descriptors import Descriptors
from .words import quote

NO_MAILBOX = 2  # in place of a mailbox's number


class ReportTo(NamedTuple):
    """Where and how a command's end is reported.

    `nonce` is fresh and random, `mailbox` takes the exported variables (or NO_MAILBOX, where files
    may have no such length), `back` is the directory to return to. A `brief` one tells the end
    alone: the command has changed nothing else. `asked` are the names of which is to be told
    whether they are functions, one at least: to list all there are takes bash 4 µs for each.
    """

    nonce: bytes
    mailbox: int = 0
    back: str | None = None
    brief: bool = False
    asked: tuple[bytes, ...] = (b":",)


class Reports:
    """Makes the reports of one shell."""

    def __init__(self, descriptors: Descriptors) -> None:
        places = (*descriptors.mailboxes, descriptors.null)
        end = rb"} 2>&%d >&%d || [[ . ]]" % (descriptors.null, descriptors.status)
        brief = _BEGIN + _END + rb"\builtin unset -v <NAMES>; " + end
        self._brief = _filled(brief, 0)
        first = _BEGIN + rb"\builtin trap -p DEBUG ERR INT; " + _END
        self._wholes = [first + _whole(descriptors, place) + end for place in places]
        self._plain = [_filled(whole, 0).replace(b"<BACK>", b"") for whole in self._wholes]

    def of(self, to: ReportTo, number: int, *, quiet: bool = False, saved: bool) -> bytes:
        """The report for the command's own line (0), or for a repeat of it.

        `quiet` makes the rest of it invisible to traps and traces; `saved` says that there may be
        something that a line after the command has saved.
        """
        if not number and to.brief:
            return self._brief.replace(b"<N>", to.nonce)
        if not number and to.back is None and not quiet and not saved:
            plain = self._plain[to.mailbox]
            return plain.replace(b"<N>", to.nonce).replace(b"<ASKED>", b" ".join(to.asked))
        back = rb"\builtin cd -- " + quote(to.back) + b"; " if to.back is not None else b""
        report = _filled(self._wholes[to.mailbox], number, quiet=quiet, saved=saved)
        report = report.replace(b"<N>", to.nonce).replace(b"<ASKED>", b" ".join(to.asked))
        return report.replace(b"<BACK>", back)


# With places for the nonce and what differs between reports. An interrupt makes bash flush what a
# builtin has printed so far, to wherever it then goes; so the report is one conversion that ends
# its line, which is written at once. No command can know the names of the variables.
_BEGIN = rb"{ __tether_<N>=<VALUE>; "
_END = (
    rb"""\builtin printf %s "<N> <NUMBER> $__tether_<N> $- """
    rb"""<N>${PWD-}<N>${TMOUT-}<N><LAST><N>"$'\n'; """
)


def _whole(fds: Descriptors, mailbox: int) -> bytes:
    """What follows on the end: the shell is put in order, and what it has is noted."""
    # `exec 2>file` is kept by copying 2; bash would undo a duplicate onto a descriptor that is
    # close-on-exec, so that one is closed first.
    return (
        rb"<QUIET>\builtin unset -v <NAMES> PROMPT_COMMAND PS0; \builtin printf -v PS1 %%s '\[\]'; "
        rb"\builtin set +o history; <BACK>"
        rb"[[ . ]] %d>&%d && \exec %d>&- %d>&%d; "
        rb"{ \builtin declare -px; \builtin printf %%s <N>$'\n'; "
        rb"\builtin declare -F -- <ASKED>; \builtin alias -p; \builtin trap -p; "
        rb"\builtin printf %%s <N>$'\n'; } >&%d; "
    ) % (fds.spare, fds.saved_stderr, fds.stderr, fds.stderr, fds.saved_stderr, mailbox)


def _filled(report: bytes, number: int, *, quiet: bool = False, saved: bool = False) -> bytes:
    """As `Reports.of` says, but for the nonce and the way back."""
    value, last, names = b"$?", b"", b"__tether_<N>"
    if saved:
        value = b"${__tether_<N>-x$?}" if number else b"${__tether_<N>-$?}"
        last = b"${__tether_<N>_+${__tether_<N>_//<N>}}"
        names += b" __tether_<N>_"
    off = rb"\builtin trap - DEBUG ERR; \builtin set +vx; " if quiet else b""
    filled = report.replace(b"<VALUE>", value).replace(b"<NUMBER>", b"%d" % number)
    return filled.replace(b"<LAST>", last).replace(b"<NAMES>", names).replace(b"<QUIET>", off)
