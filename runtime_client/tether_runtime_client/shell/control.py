r"""The lines that are written to the shell's control channel. Pure: text in, bytes out.

bash reads its commands from a socket that is its standard input. One line carries one command:

    { <before> \builtin eval $'...'; { <report> } 2>&NULL || [[ . ]]; } <&TTY 2>&STDERR

Everything is on one physical line, which bash reads whole before it runs any of it. So while a
command runs nothing is left in the channel for it to steal, and no continuation prompt is made.
The group is what an interrupt ends as one. Outside of it the shell's standard error is
/dev/null: prompts, `set -v` echoes, traces of these lines and job notices go there.

Where `eval` fails within `[[`, bash's parser does not forget that it was there, and the next line
is an error to it, which makes it forget. So one that matters to nobody comes before the command's.

A command finds `$?` and `$_` as the last one left them. What `$_` became is known from the text of
a plain command, and else saved by a line after it (see `text_end`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .descriptors import Descriptors
from .exports import Changes
from .reports import Reports, ReportTo
from .status import StatusRecord
from .text_end import has_command, plain_last_word, takes_line_after
from .words import assignments, plain_path, quote

# A line after an interrupt can lose its first bytes to the interrupt: one for each signal.
PADDING = b"\n\n"
RECOVERY_PADDING = b"\n\n\n\n\n\n\n\n"

_PLAIN_PROMPTS = rb"\builtin unset -v PROMPT_COMMAND PS0; \builtin printf -v PS1 %s '\[\]'; "
_SYNTAX_ERROR = 2
LONGEST_LAST_WORD = 8000  # characters of `$_` that are carried; a longer one is forgotten

# Builtins that the lines here use, and that a function of the same name would stand in for.
_REPORTING = ("builtin", "exec", "eval", "printf", "trap", "unset", "set", "declare", "return")


class Carried(NamedTuple):
    """What the last report said and the next command must find again."""

    exit_code: int = 0
    traps: bytes = b""
    suspended: str = ""  # the letters among `set -v` and `set -x` that are on
    last_word: str = ""
    confused: bool = False  # whether bash's parser may still be in the midst of the last one
    traced: bool = False  # whether functions have the RETURN trap (`set -T`)

    def after(self, record: StatusRecord, text: str) -> Carried:
        """What this report says, and the text of its command.

        Where that has no command in it, everything is as before, as in any terminal.
        """
        suspended = "".join(flag for flag in "vx" if flag in record.flags)
        plain = plain_last_word(text)
        if plain is None and record.exit_code == 0 and not has_command(text):
            return self
        last = plain or record.last_word
        # A trap that looks at $BASH_COMMAND leaves it there; it may be a line of ours.
        kept = last if len(last) <= LONGEST_LAST_WORD and "__tether_" not in last else ""
        confused = record.exit_code == _SYNTAX_ERROR or plain is None
        traced = "T" in record.flags
        return Carried(record.exit_code, record.traps, suspended, kept, confused, traced)

    @property
    def watching(self) -> bool:
        """Whether something is on that would show, or run for, lines that are not the user's."""
        return bool(self.suspended or self.traps)


def check_request(text: str, cwd: str | None, env: Mapping[str, str] | None) -> None:
    """Raises CommandInvalid for a command that `ControlLines.command` would refuse."""
    quote(text)
    assignments(env)
    if cwd is not None:
        quote(plain_path(cwd))


class ControlLines:
    """Builds the control lines of one shell."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._fds = descriptors
        self._close = b"; } <&%d 2>&%d\n" % (descriptors.terminal, descriptors.stderr)
        self._save = _save(descriptors)
        self._clear = b"[[ . ]] >&%d\n" % descriptors.null
        self._reports = Reports(descriptors)

    def setup(self, to: ReportTo) -> bytes:
        """The first line of a shell: private descriptors, no history, plain prompts."""
        return (
            PADDING
            + self._private()
            + rb"\builtin set +o history +H; \builtin history -c; "
            + rb"\builtin unset -v HISTFILE PROMPT_COMMAND; PS2='\[\]'; { "
            + self._reports.of(to, 0, saved=False)
            + self._close
        )

    def command(
        self,
        text: str,
        to: ReportTo,
        carried: Carried,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """The line that runs one command and reports its end.

        `cwd` and `env` hold for this command alone. Raises CommandInvalid for what cannot be
        written as shell text.
        """
        # After `NAME=value builtin eval` only the first command would get the variable.
        run = assignments(env) + (rb"\builtin command eval " if env else rb"\builtin eval ")
        plain = plain_last_word(text) is not None
        saved = not plain and "v" not in carried.suspended and takes_line_after(text)
        seen = not plain or carried.watching  # a trap may look at what `$_` is
        again = seen or (carried.exit_code and not to.brief)
        recall = _recall(carried, word=seen) if again else b""
        save = self._save.replace(b"<N>", to.nonce) if saved else b""
        run += self._quoted(text, carried, recall, save)
        if plain or saved:
            run += b" ''"  # what `$_` becomes: bash computes it where that is an integer variable
        before = self._hide() if carried.watching else recall
        if cwd is not None and carried.watching:
            run = rb"%b && { %b; }" % (self._enter_watched(cwd, carried), run)
        elif cwd is not None:
            run = rb"\builtin cd -- %b && { %b%b; }" % (quote(plain_path(cwd)), before, run)
            before = b""
        quiet = carried.watching or "DEBUG" in text or "XTRACE" in text
        report = self._reports.of(to, 0, quiet=quiet, saved=saved)
        clear = self._clear if carried.confused else b""
        return PADDING + clear + b"{ " + before + run + b"; " + report + self._close

    def exports(self, changes: Changes) -> bytes:
        """A line before a command's: export variables, and unset those that are None.

        One that is read-only stays as it is: to set it would end a shell that has `set -e`.
        """
        null = self._fds.null
        steps = b"".join(_export(name.encode(), value) for name, value in changes.items())
        line = rb"{ %b%b[[ . ]]; } 2>&%d >&%d" % (steps, _PLAIN_PROMPTS, null, null)
        return PADDING + self._clear + line + b"\n"

    def note_mode(self) -> bytes:
        """A line between commands: have bash take note of the terminal's mode.

        It does so where a program that was in front ends by itself, and gives the terminal that
        mode back where one is killed: one that is not what it was is not to be that of a later
        command.
        """
        fds = self._fds
        line = b"{ ([[ . ]]); } <&%d 2>&%d >&%d\n" % (fds.terminal, fds.null, fds.null)
        return PADDING + line

    def recovery(self, to: ReportTo, number: int) -> bytes:
        """The report alone, sent after an interrupt: the command's own may have been dropped.

        Sending it again changes nothing: the first report of a command counts. `number` (from 1)
        tells which repeat arrived. Where the command's own report was begun it has the exit
        status from there; else the status is `$?` with an `x` before it.
        """
        return RECOVERY_PADDING + b"{ " + self._reports.of(to, number, saved=True) + self._close

    def repair(self, to: ReportTo, number: int) -> bytes:
        """A recovery that first takes back what keeps reports from being made.

        A function may stand in for a builtin. In POSIX mode, which an assignment switches on,
        special builtins such as `unset` come before functions.
        """
        fds, mode = self._fds, "__tether_mode"
        names = " ".join(_REPORTING)
        first = (
            rf"{mode}=$SHELLOPTS; POSIXLY_CORRECT=1; \unset -f {names}; "
            rf"case ${mode} in *posix*) ;; *) \unset POSIXLY_CORRECT;; esac; "
            rf"\unset {mode}; \exec {fds.stderr}>&{fds.terminal}"
        )
        return PADDING + first.encode() + b"\n" + self.recovery(to, number)

    def _hide(self) -> bytes:
        """Switch off what would show these lines, which is rarely on."""
        null = self._fds.null
        return rb"{ \builtin trap - DEBUG ERR; \builtin set +vx; } 2>&%d >&%d; " % (null, null)

    def _enter_watched(self, cwd: str, carried: Carried) -> bytes:
        """Go there; where that fails nothing else would switch traces and traps on again."""
        null, resumed = self._fds.null, quote(_resumed(carried))
        back = rb"{ \builtin eval %b ''; [[ ! . ]]; } 2>&%d >&%d" % (resumed, null, null)
        return rb"{ \builtin cd -- %b || %b; }" % (quote(plain_path(cwd)), back)

    def _quoted(self, text: str, carried: Carried, recall: bytes, save: bytes) -> bytes:
        """The command and the line after it, if any; where needed after one that switches traces
        and traps on again.
        """
        if carried.watching:
            first = _resumed(carried)
            first += (recall or rb"\builtin :; ").decode("utf-8", "surrogateescape")
            text = f"{{ {first}}} 2>&{self._fds.null} >&{self._fds.null}\n{text}"
        quoted = quote(text)
        return quoted[:-1] + save + b"'" if save else quoted

    def _private(self) -> bytes:
        """Make the block close-on-exec, so that no program inherits it.

        A shell cannot set that flag, but its own saved copies of descriptors have it, and a
        duplicate of a descriptor that has it gets it too.
        """
        fds = self._fds
        saved = fds.mailboxes[1] + 1
        lines = b""
        for fd in (fds.terminal, fds.stderr, fds.status, fds.null, *fds.mailboxes):
            over = fds.mailboxes[1] if fd != fds.mailboxes[1] else fds.mailboxes[0]
            lines += rb"{ \exec %d<&%d; } %d<&%d; " % (fds.spare, saved, fd, over)
            lines += rb"\exec %d<&%d %d<&-; " % (fd, fds.spare, fds.spare)
        return lines


def _save(fds: Descriptors) -> bytes:
    """The line after a command, as part of its quoted text.

    An incomplete text cannot take it for its own: where that has an open `${`, no brace of this
    one closes it, and for a function's head see `takes_line_after`. It has no word that an alias
    could stand for, and nothing that bash's parser takes for an error where it believes itself
    still in a `[[` of a file that was sourced. Whatever `$_` is, no number begins with the pattern
    that saves it, and only nothing, which is left of the options with a history, ends one. It takes
    itself out of a history that the command has switched on, and ends well, or `set -e` would have
    `eval` end the shell.
    """
    null = fds.null
    return (
        rb"\n((1${__tether_<N>=$?}${__tether_<N>#x${__tether_<N>_=${_:0:%d}}}"
        rb"${__tether_<N>/%%${SHELLOPTS##*history*}/*0})) >&%d 2>&%d "
        rb"|| \\builtin history -d -1 >&%d 2>&%d || ((1))"
    ) % (LONGEST_LAST_WORD + 1, null, null, null, null)


def _recall(carried: Carried, *, word: bool) -> bytes:
    """Shell text that leaves `$?` and `$_` at their values; `$_` only where `word` says so.

    A function that removes itself does it; `&&` keeps `set -e` and ERR traps from taking the
    value for a failure. The name is always the same: bash does not free what it keeps of
    functions with names it never sees again.
    """
    last = b" " + quote(carried.last_word) if word else b""
    if carried.exit_code == 0:
        return rb"\builtin :%b; " % last
    body = rb"\builtin unset -f __tether; \builtin return %d" % carried.exit_code
    off = b""
    if carried.traced:  # or the RETURN trap would run for this function too
        off, body = rb"\builtin set +T; ", rb"\builtin set -T; " + body
    return rb"%b__tether() { %b; }; __tether%b && \builtin :; " % (off, body, last)


def _resumed(carried: Carried) -> str:
    """Shell text that switches on again what was switched off to hide lines that are ours."""
    traces = rf"\builtin set -{carried.suspended}; " if carried.suspended else ""
    return traces + carried.traps.decode("utf-8", "surrogateescape")


def _export(name: bytes, value: str | None) -> bytes:
    """Without assignments, which `set -k` would take away from the command they are words of."""
    change = rb"\builtin unset -v %b" % name
    if value is not None:
        change = rb"\builtin printf -v %b %%s %b && \builtin export %b" % (name, quote(value), name)
    return rb"[[ ${%b+${%b@a}} == *r* ]] || { %b; } || [[ . ]]; " % (name, name, change)
