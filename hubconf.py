"""torch.hub entry points: one a checkpoint of the zoo, dashes written as underscores.

model = torch.hub.load("ORG/advss-zoo", "p1f4", trust_repo=True)
"""

from functools import partial as _partial
from functools import update_wrapper as _update_wrapper

from advss_zoo.zoo import index as _index

dependencies = ["huggingface_hub", "numpy", "pydantic", "safetensors", "torch"]


def _load(_name, _kind, weights="default", device="cpu"):
    """{full_names}: images (B,3,H,W) in [0,1] to {outputs}, normalisation inside, in evaluation mode.

    Args:
        weights: a tag of the zoo ({tags}), "default" for the default tag, or None for the paper's ResNet-50v2 with
            random weights.
        device: where the model goes.
    """
    import advss_zoo

    if weights is None:
        from advss_zoo.zoo.load import random_model

        return random_model(_kind).to(device)
    loader = advss_zoo.load_trunk if _kind == "trunk" else advss_zoo.load_model
    return loader(_name if weights == "default" else f"{_name}.{weights}", device)


def _entry_point(_name):
    entries = [entry for entry in _index.entries() if entry.name == _name]
    function = _update_wrapper(_partial(_load, _name, entries[0].kind), _load)
    function.__doc__ = _load.__doc__.format(
        full_names=" ".join(entry.full_name for entry in entries),
        outputs="features (B,C,H/4,W/4)" if entries[0].kind == "trunk" else "logits (B,10)",
        tags=", ".join(entry.tag for entry in entries),
    )
    return function


globals().update({_entry.name.replace("-", "_"): _entry_point(_entry.name) for _entry in _index.entries()})
