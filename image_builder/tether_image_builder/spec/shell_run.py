"""Runs a shell step on an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..render import BASE_LABEL, PREFIX
from . import container
from .container import STEP_LABEL, Process, StepContainer
from .errors import command_failed, secret_left, step_refused
from .model import ShellStep
from .output import StepOutput
from .plan import PlannedStep, summary
from .script import APT_SETTINGS, CERTIFICATES, SECRETS, apt_settings, environment, program
from .secrets import Redactor, read_secret, where
from .workshop import Workshop

if TYPE_CHECKING:
    from ..engine import ImageFiles

SHELL = "/bin/sh"
OWN_SHELL = f"{PREFIX}/bin/bash"


class ShellRun:
    """One shell step on one image."""

    def __init__(
        self, workshop: Workshop, planned: PlannedStep, step: ShellStep, image_id: str
    ) -> None:
        self._workshop = workshop
        self._planned = planned
        self._step = step
        self._image_id = image_id
        spec = workshop.plan.spec
        self._secrets = {name: read_secret(spec, name) for name in step.secrets}
        hidden = [*self._secrets.values(), *workshop.access.passwords]
        self._redact = Redactor(hidden)
        self._output = StepOutput(self._redact, self._say)

    def run(self) -> str:
        """Gives the id of the image that came of it."""
        api = self._workshop.engine.api
        for name in self._step.secrets:
            place = where(self._workshop.plan.spec.secrets[name])
            self._say(f"given the secret {name} from {place}")
        image = container.described(api, self._image_id)
        with self._workshop.engine.files(self._image_id) as files:
            shell = self._step.shell or (SHELL if files.read(SHELL) else OWN_SHELL)
            process = self._process(shell, files)
        is_own = shell.startswith(f"{PREFIX}/")
        volumes = {self._workshop.own_environment(): PREFIX} if is_own else {}
        with container.step_container(api, image, shell, volumes) as room:
            exit_code = room.run(process, self._output.take)
            self._output.end()
            if exit_code:
                self._fail(room, exit_code)
            room.end()
            if traces := room.traces_of(self._secrets):
                raise secret_left(self._planned.number, traces)
            labels = {STEP_LABEL: self._planned.fingerprint, BASE_LABEL: self._image_id}
            return room.commit(image["Config"], labels, self._comment())

    def _process(self, shell: str, files: ImageFiles) -> Process:
        def read(path: str) -> bytes | None:
            found = files.read(path)
            return found.content if found is not None else None

        access = self._workshop.access
        trusted = access.trusted_with(read)
        laid = {f"{SECRETS}/{name}": value for name, value in self._secrets.items()}
        settings = apt_settings(access.apt_settings, has_certificates=bool(trusted))
        laid[APT_SETTINGS] = settings.encode()
        if trusted:
            laid[CERTIFICATES] = trusted
        given = environment(has_certificates=bool(trusted), has_secrets=bool(self._secrets))
        return Process(
            shell=shell,
            program=program(shell, self._step.script, laid),
            user=self._step.user or "0",
            workdir=self._step.workdir,
            environment={**given, **access.proxies, **self._step.env},
        )

    def _fail(self, room: StepContainer, exit_code: int) -> None:
        reached = room.command_reached()
        number, tail = self._planned.number, list(self._output.tail)
        if reached is None:
            reason = tail[-1] if tail else f"its shell ended with exit code {exit_code}"
            raise step_refused(number, self._redact(self._planned.what), reason)
        command = self._redact(summary(self._step.script[reached - 1]))
        raise command_failed(number, command, exit_code, tail)

    def _say(self, line: str) -> None:
        self._workshop.say(self._planned, line)

    def _comment(self) -> str:
        return self._redact(f"step {self._planned.number}: {self._planned.what}")
