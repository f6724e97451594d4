"""The steps of a `BrowseInteractiveAction`, and how they say which element they are about."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .action import Seconds
from .message import Message

ElementId = Annotated[str, Field(pattern=r"^(f[0-9]+)?e[0-9]+$", max_length=32)]
"""As the last tree has it in `[ref=e12]`; an element keeps its id as long as it is on the page."""

PageText = Annotated[str, Field(max_length=1024 * 1024)]
Selector = Annotated[str, Field(min_length=1, max_length=4096)]
Url = Annotated[str, Field(min_length=1, max_length=64 * 1024)]
Key = Annotated[str, Field(min_length=1, max_length=64)]
Coordinate = Annotated[float, Field(ge=0, le=100_000)]
Pixels = Annotated[float, Field(ge=-1_000_000, le=1_000_000)]
LoadState = Literal["commit", "domcontentloaded", "load", "networkidle"]
"""The answer came, its document is read, all that it names is there, nothing is under way."""


class Target(Message):
    """An element, by one of: its id in the last tree, role and accessible name, CSS, a point.

    `name` is a part of the accessible name, in any case, or all of it with `exact`. Of several
    elements that fit the `nth` is meant, from 0; without it, they are an error. A point is in CSS
    pixels from the upper left of what is shown. CSS looks into open shadow roots, and into frames
    where `frame` is the CSS of the `iframe`.
    """

    element: ElementId | None = None
    role: Annotated[str, Field(pattern=r"^[a-z]+$", max_length=64)] | None = None
    name: Annotated[str, Field(max_length=4096)] | None = None
    exact: bool = False
    css: Selector | None = None
    frame: Selector | None = None
    nth: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    x: Coordinate | None = None
    y: Coordinate | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.x is None) != (self.y is None):
            raise ValueError("a point has both x and y")
        said = (self.element, self.role, self.css, self.x)
        ways = sum(each is not None for each in said)
        if ways > 1 or (ways == 0 and self._needs_target()):
            raise ValueError("name an element by one of: element, role (and name), css, x and y")
        if self.name is not None and self.role is None:
            raise ValueError("a name goes with a role")
        return self

    def _needs_target(self) -> bool:
        return True

    @property
    def is_point(self) -> bool:
        """Whether it is a place and no element."""
        return self.x is not None

    @property
    def is_given(self) -> bool:
        """Whether it names anything."""
        return any(each is not None for each in (self.element, self.role, self.css, self.x))


class OptionalTarget(Target):
    """A target that may be left out: what has the focus, or the page, is meant then."""

    def _needs_target(self) -> bool:
        return False


class _Timed(Message):
    """`timeout_s` is for this step alone; None takes the action's `step_timeout_s`."""

    timeout_s: Seconds | None = None


class GotoStep(_Timed):
    """Load a page. Its document has to come in time; what is not there by then is still loading."""

    step: Literal["goto"] = "goto"
    url: Url
    wait_until: LoadState = "load"


class BackStep(_Timed):
    """To the page before, in this tab's history."""

    step: Literal["back"] = "back"


class ForwardStep(_Timed):
    """To the page after, in this tab's history."""

    step: Literal["forward"] = "forward"


class ReloadStep(_Timed):
    """Load the page again."""

    step: Literal["reload"] = "reload"


class ClickStep(_Timed, Target):
    """Click an element, once it is seen and holds still, or a point."""

    step: Literal["click"] = "click"
    button: Literal["left", "middle", "right"] = "left"
    modifiers: tuple[Literal["Alt", "Control", "Meta", "Shift"], ...] = ()


class DoubleClickStep(_Timed, Target):
    """Click twice."""

    step: Literal["dblclick"] = "dblclick"


class HoverStep(_Timed, Target):
    """Move the pointer there."""

    step: Literal["hover"] = "hover"


class FillStep(_Timed, Target):
    """Set what a field has."""

    step: Literal["fill"] = "fill"
    text: PageText


class TypeStep(_Timed, OptionalTarget):
    """Type at the element, or at what has the focus, a key at a time, `delay_s` between them."""

    step: Literal["type"] = "type"
    text: Annotated[str, Field(max_length=100_000)]
    delay_s: Annotated[float, Field(ge=0, le=10)] = 0.0


class PressStep(_Timed, OptionalTarget):
    """Press a key or a combination: `Enter`, `Control+a`, `ArrowDown`."""

    step: Literal["press"] = "press"
    key: Key


class SelectStep(_Timed, Target):
    """Choose options of a `select`, by their values or labels; none of them with none given."""

    step: Literal["select"] = "select"
    options: Annotated[tuple[PageText, ...], Field(max_length=1000)]


class CheckStep(_Timed, Target):
    """Check a box or a radio button, or with `checked=False` uncheck it."""

    step: Literal["check"] = "check"
    checked: bool = True


class DragStep(_Timed, Target):
    """Drag from here to `to`."""

    step: Literal["drag"] = "drag"
    to: Target


class ScrollStep(_Timed, OptionalTarget):
    """Turn the wheel by so many CSS pixels, over the element or over the middle of what is shown.

    With neither `dx` nor `dy` the element is brought into view.
    """

    step: Literal["scroll"] = "scroll"
    dx: Pixels = 0
    dy: Pixels = 0

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.dx and not self.dy and (self.is_point or not self.is_given):
            raise ValueError("a scroll needs dx or dy, or an element to bring into view")
        return self


class UploadStep(_Timed, Target):
    """Choose files of the sandbox in a file field, or in the chooser that a click there opens."""

    step: Literal["upload"] = "upload"
    paths: Annotated[tuple[PageText, ...], Field(max_length=100)]


class WaitForStep(_Timed, OptionalTarget):
    """Wait until the element is in `state`, `text` is seen, the address fits `url` (with `*` and
    `**`), the page is loaded as far as `load` says, or an `expression` is true: all that is given.
    """

    step: Literal["wait_for"] = "wait_for"
    state: Literal["visible", "hidden", "attached", "detached"] = "visible"
    text: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    url: Url | None = None
    load: LoadState | None = None
    expression: PageText | None = None

    @model_validator(mode="after")
    def _waits_for_something(self) -> Self:
        if self.is_point:
            raise ValueError("a point is always there: name an element")
        others = (self.text, self.url, self.load, self.expression)
        if not self.is_given and all(each is None for each in others):
            raise ValueError("say what to wait for: an element, text, url, load or expression")
        return self


class NewTabStep(_Timed):
    """Open a tab, and go there."""

    step: Literal["new_tab"] = "new_tab"
    url: Url | None = None


class SwitchTabStep(_Timed):
    """Go to another tab, by its number in the observation."""

    step: Literal["switch_tab"] = "switch_tab"
    tab: Annotated[int, Field(ge=0)]


class CloseTabStep(_Timed):
    """Close a tab; None is the one that is shown. After the last one there is an empty one."""

    step: Literal["close_tab"] = "close_tab"
    tab: Annotated[int, Field(ge=0)] | None = None


class EvaluateStep(_Timed, OptionalTarget):
    """Run JavaScript in the page: an expression, or a function, which is given the element.

    Its value is among the observation's `results`.
    """

    step: Literal["evaluate"] = "evaluate"
    expression: PageText


BrowserStep = Annotated[
    GotoStep
    | BackStep
    | ForwardStep
    | ReloadStep
    | ClickStep
    | DoubleClickStep
    | HoverStep
    | FillStep
    | TypeStep
    | PressStep
    | SelectStep
    | CheckStep
    | DragStep
    | ScrollStep
    | UploadStep
    | WaitForStep
    | NewTabStep
    | SwitchTabStep
    | CloseTabStep
    | EvaluateStep,
    Field(discriminator="step"),
]
