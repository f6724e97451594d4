"""Steps that are carried out on an image before the runtime client is put in.

from tether_image_builder import build_image
from tether_image_builder.spec import ShellStep, Spec

spec = Spec(image="debian:bookworm", steps=[ShellStep(commands=["echo hello >/greeting"])])
build_image(spec=spec)
"""

from .lint import Finding, lint
from .load import load_spec
from .model import FileStep, Secret, ShellStep, Spec, Step

__all__ = ["FileStep", "Finding", "Secret", "ShellStep", "Spec", "Step", "lint", "load_spec"]
