"""What the client can do: one module for each family of actions, one table for all."""

from .register import register_handlers

__all__ = ["register_handlers"]
