"""Places where a runtime client can run."""

from .base import Backend, Progress, Sandbox, SandboxSpec, silent

__all__ = ["Backend", "Progress", "Sandbox", "SandboxSpec", "open_backend", "silent"]


def open_backend(name: str) -> Backend:
    """The backend of that name, imported only now; raises `ValueError` for an unknown one."""
    if name == "local":
        from .local import LocalBackend

        return LocalBackend()
    if name == "docker":
        from .docker import DockerBackend

        return DockerBackend()
    raise ValueError(f"there is no backend {name!r}; there are 'docker' and 'local'")
