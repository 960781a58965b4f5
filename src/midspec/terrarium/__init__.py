"""The wind tunnel: a small world with a small language and a small base model of its own."""

from midspec.terrarium.build import Layout, build, library_layout
from midspec.terrarium.world import ATTRIBUTES, VALUES, World, WorldConfig

__all__ = ["ATTRIBUTES", "VALUES", "Layout", "World", "WorldConfig", "build", "library_layout"]
