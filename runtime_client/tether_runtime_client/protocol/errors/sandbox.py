"""The place where actions run: engine, image, start, end."""

from __future__ import annotations

from .base import TetherError


class SandboxError(TetherError):
    """The base of what goes wrong with the place where actions run."""

    code = "sandbox_error"


class EngineUnavailable(SandboxError):
    """No container engine answers."""

    code = "engine_unavailable"
    default_hint = "Start Docker (`tether doctor` says how), or use backend='local'"


class ImageNotFound(SandboxError):
    """The image is neither here nor can it be pulled."""

    code = "image_not_found"
    default_hint = "Check its name; `docker images` lists those that are here"


class WrongArchitecture(SandboxError):
    """The image is for another processor than the runtime environment."""

    code = "wrong_architecture"
    default_hint = "Use an image for the engine's own processor"


class BuildFailed(SandboxError):
    """The runtime client could not be put into the image; `data["log"]` has the last lines."""

    code = "build_failed"
    default_hint = "Correct what the end of its log says"


class StepFailed(BuildFailed):
    """A step of a spec did not come to its end; `data` has its number, command and exit code."""

    code = "step_failed"
    default_hint = "Correct the step and build again: the steps before it are kept"


class SpecInvalid(SandboxError):
    """A spec of build steps cannot be used: the file, a source, a secret, or strict findings."""

    code = "spec_invalid"
    default_hint = "Correct it; docs/build-steps.md says what a spec may hold"


class PushFailed(SandboxError):
    """A registry did not take an image.

    `data["reason"]` is `unauthorized`, `unreachable` or `refused`. The image itself is made.
    """

    code = "push_failed"
    default_hint = "The image is made: correct the registry's reason, and run it again"


class EnvironmentUnavailable(SandboxError):
    """No runtime environment could be made or found."""

    code = "environment_unavailable"
    default_hint = "Correct what the end of its log says; docs/recipes.md says how one is made"


class StartFailed(SandboxError):
    """The sandbox was started and its client did not come up; `data["log"]` has the last lines."""

    code = "start_failed"
    default_hint = "`tether doctor` checks this machine"


class StartTimeout(StartFailed):
    """The client did not answer in time.

    `data` has `start` (`cold` or `warm`), its limit `limit_s`, and the last `progress`.
    """

    code = "start_timeout"
    default_hint = "Give it longer with `start_timeout_s`; `tether doctor` checks this machine"


class StateUnusable(SandboxError):
    """The folder where the server keeps its records and histories is full, or cannot be used."""

    code = "state_unusable"
    default_hint = "Set TETHER_STATE_DIR to a folder that you can write"


class SandboxNotFound(SandboxError):
    """No sandbox of that name is known."""

    code = "sandbox_not_found"
    default_hint = "`tether ps` lists the sandboxes there are"


class NameTaken(SandboxError):
    """A sandbox of that name exists."""

    code = "name_taken"
    default_hint = "Choose another name, attach to it, or remove it with `tether rm`"


class SandboxGone(SandboxError):
    """The sandbox ended, so the action can have no answer; `data` has the `cause` of the end."""

    code = "sandbox_gone"
    default_hint = "Start another; what happened until then stays in `runtime.events`"


class RuntimeClosed(SandboxError):
    """The runtime was used before it was started or after it was closed."""

    code = "runtime_closed"
    default_hint = "Start a runtime, or attach to a sandbox that was kept"


class TransportUnavailable(SandboxError):
    """No transport reaches the client; `data["tried"]` has each one's reason."""

    code = "transport_unavailable"
    default_hint = "`tether doctor NAME` looks at each; the sandbox itself may be well"
