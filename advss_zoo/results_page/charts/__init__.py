"""Kinds of figures: numbers and labels in, a scene out. They know nothing of results."""
