"""The zoo: which checkpoints there are, where their weights come from, and strict loading."""

WEIGHTS = "model.safetensors"  # what a checkpoint folder holds beside its config.json
CONFIG = "config.json"
SEEN = "seen.safetensors"  # which images trained it and chose its epoch
CARD, RESULTS = "README.md", "results"  # and once it is described and evaluated
