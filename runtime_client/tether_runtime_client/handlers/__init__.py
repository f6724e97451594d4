"""What the client can do: one module for each family of actions, one table for all."""

from .register import Handlers, register_handlers

__all__ = ["Handlers", "register_handlers"]
