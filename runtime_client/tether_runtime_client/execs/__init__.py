"""Started execs: their output kept until it was taken, their input fed, one connection to each."""

from .attachment import Attachment
from .feeder import Feeder
from .kept import Filed, Held, Kept
from .started import StartedExec

__all__ = ["Attachment", "Feeder", "Filed", "Held", "Kept", "StartedExec"]
