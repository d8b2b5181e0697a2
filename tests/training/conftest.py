"""Fixtures of `tiny_training`."""

from tiny_training import cache, pretrained, recipe_file, small_cache

__all__ = ["cache", "pretrained", "recipe_file", "small_cache"]
