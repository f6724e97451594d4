"""What lies on an engine: images, volumes, and the containers that use them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING

from .engine import Engine
from .environment import STAGE_LABEL
from .exchange import EngineRefusal
from .models import Image, moment
from .render import BASE_LABEL

if TYPE_CHECKING:
    import docker


_COUNTS_ALREADY = "disk usage operation is already running"
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


@dataclass(frozen=True)
class Volume:
    """A volume of an engine; `created` is when it was made."""

    name: str
    labels: dict[str, str]
    created: datetime


class Stock:
    """Lists what an engine has, and removes what it is told to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._api: docker.APIClient = engine.api

    def images(self) -> list[Image]:
        """Every image that has a name, or that no other image was built on."""
        ids = {str(found["Id"]) for found in self._api.images()}
        images = (self._engine.find(image_id) for image_id in sorted(ids))
        return [image for image in images if image is not None]

    def parents(self) -> dict[str, str]:
        """What each image was made of, by id, the unnamed ones too; empty where not here."""
        return {found["Id"]: found["ParentId"] for found in self._api.images(all=True)}

    def used(self) -> set[str]:
        """Image ids and volume names that containers use, also stopped ones."""
        containers = self._api.containers(all=True)
        mounts = [mount for found in containers for mount in found.get("Mounts") or ()]
        names = {str(mount["Name"]) for mount in mounts if mount.get("Name")}
        return {str(found["ImageID"]) for found in containers} | names

    def volumes(self, label: str) -> list[Volume]:
        """The volumes that carry a label."""
        answer = self._api.volumes(filters={"label": label})
        return [
            Volume(found["Name"], found.get("Labels") or {}, moment(found.get("CreatedAt")))
            for found in answer["Volumes"] or ()
        ]

    def volume_sizes(self) -> dict[str, int]:
        """The bytes of each volume; the engine counts them for this, which takes a while.

        It counts for one at a time, refuses others meanwhile, and does not say when it is done.
        So it is asked again for a while; after that no sizes are known.
        """
        for pause_s in _PAUSES_S:
            if (found := self._counted()) is not None:
                return found
            time.sleep(pause_s)
        return self._counted() or {}

    def _counted(self) -> dict[str, int] | None:
        """The same, None where the engine counts for somebody else."""
        import docker.errors

        try:
            found = self._api.df()["Volumes"] or ()
        except docker.errors.APIError as problem:
            if _COUNTS_ALREADY in (problem.explanation or ""):
                return None
            raise
        return {
            each["Name"]: max((each.get("UsageData") or {}).get("Size", 0), 0) for each in found
        }

    def layer_sizes(self, image: Image) -> dict[str, int]:
        """The bytes of each layer of an image, by the layer's place in its chain.

        A layer without bytes cannot be told from an instruction that made none, so sizes are
        counted from above: those of the layers that were added last are right.
        """
        sizes = (entry["Size"] for entry in self._engine.history(image.image_id) if entry["Size"])
        return dict(zip(reversed(chain(image)), sizes, strict=False))

    def remove_image(self, image: Image) -> None:
        """Removes an image and the unnamed ones that it was built from in steps of ours.

        Raises:
            EngineRefusal: something uses it.
        """
        lower = list(self._built_on(image))
        for name in image.names[1:]:
            self._remove(name)
        self._remove(image.image_id)
        for image_id in lower:
            with suppress(EngineRefusal):  # another image was built on it too
                self._remove(image_id)

    def _built_on(self, image: Image) -> Iterator[str]:
        """The unnamed steps of the image's own build, from above; not what it was built on."""
        end = image.labels.get(BASE_LABEL)
        for entry in self._engine.history(image.image_id)[1:]:
            if entry["Id"] in (end, "<missing>") or entry["Tags"]:
                return
            if STAGE_LABEL in image.labels and not self._is_of_stage(entry["Id"]):
                return
            yield entry["Id"]

    def _is_of_stage(self, image_id: str) -> bool:
        """A stage does not say what it was built on, but labels its own first of all."""
        found = self._engine.find(image_id)
        return found is not None and STAGE_LABEL in found.labels

    def _remove(self, name: str) -> None:
        import docker.errors

        try:
            self._api.remove_image(name, noprune=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as problem:
            raise EngineRefusal(problem.explanation or str(problem)) from None

    def remove_volume(self, name: str) -> None:
        """Removes a volume.

        Raises:
            EngineRefusal: something uses it.
        """
        import docker.errors

        try:
            self._api.remove_volume(name)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as problem:
            raise EngineRefusal(problem.explanation or str(problem)) from None


def chain(image: Image) -> list[str]:
    """The places of an image's layers: equal where all that is below is equal too."""
    return list(accumulate(image.layer_ids, _above))


def _above(below: str, layer: str) -> str:
    return sha256(f"{below} {layer}".encode()).hexdigest()
