"""Values of JavaScript, as JSON has them."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from . import limits
from .failures import StepProblem
from .limits import clean, cut

if TYPE_CHECKING:
    from playwright.async_api import JSHandle

_DEPTH = 100
_EXACT = 2**53

_GUARD = """(value, [size, deepest]) => {
  const seen = new Set();
  let left = size;
  const weigh = (one, depth) => {
    left -= typeof one === 'string' ? one.length : 1;
    if (left < 0) return 'large';
    if (one === null || typeof one !== 'object' || seen.has(one)) return null;
    try { if (one.window === one || one instanceof Node) return null; } catch { return null; }
    if (depth > deepest) return 'deep';
    seen.add(one);
    if (ArrayBuffer.isView(one)) left -= one.length ?? one.byteLength;
    else if (Array.isArray(one)) {
      for (let at = 0; at < one.length; at++) {
        const problem = weigh(one[at], depth + 1);
        if (problem) return problem;
      }
    } else for (const name in one) {
      left -= name.length;
      const problem = weigh(one[name], depth + 1);
      if (problem) return problem;
    }
    return left < 0 ? 'large' : null;
  };
  const problem = weigh(value, 0);
  return problem ? [problem, null] : [null, value];
}"""
"""Whether a value may leave the page: what one that is too large takes is taken there only."""

_PROBLEMS = {
    "large": f"its value takes more than {limits.RESULT:,} bytes",
    "deep": f"its value is nested more than {_DEPTH} deep",
}


async def value_of(handle: JSHandle) -> JsonValue:
    """Raises `StepProblem` for one that is too large or too deep."""
    problem, value = await handle.evaluate(_GUARD, [limits.RESULT, _DEPTH])
    if problem is not None:
        raise StepProblem("other", _PROBLEMS.get(problem, "its value cannot be had"))
    told = plain(value)
    if len(repr(told)) > 4 * limits.RESULT:  # by a page that has its own idea of sizes
        raise StepProblem("other", _PROBLEMS["large"])
    return told


def plain(value: Any, above: tuple[int, ...] = ()) -> JsonValue:
    """What JSON has no form for is its text: `NaN`, dates as in ISO 8601, a circle."""
    if isinstance(value, list | dict):
        if id(value) in above or len(above) > _DEPTH:
            return "[circular]"
        inside = (*above, id(value))
        if isinstance(value, list):
            return [plain(one, inside) for one in value]
        return {clean(str(name)): plain(one, inside) for name, one in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else _digits(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    return clean(_words(value))


def _words(value: Any) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return value.isoformat()
    return value.pattern if isinstance(value, re.Pattern) else str(value)


def _digits(value: int) -> str:
    """Python writes no number of more than some thousand digits."""
    return str(value) if value.bit_length() < 8000 else cut(hex(value), limits.ENTRY)
