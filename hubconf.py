"""torch.hub entry points: one a checkpoint of the zoo, dashes written as underscores.

model = torch.hub.load("ORG/advss-zoo", "p1f4", trust_repo=True)
"""

from functools import partial as _partial
from functools import update_wrapper as _update_wrapper

from advss_zoo.zoo import index as _index

dependencies = ["numpy", "pydantic", "safetensors", "torch"]


def _load(_name, weights="default", device="cpu"):
    """{full_names}: images (B,3,H,W) in [0,1] to logits (B,10), normalisation inside, in evaluation mode.

    Args:
        weights: a tag of the zoo ({tags}), "default" for the default tag, or None for the paper's ResNet-50v2 with
            random weights.
        device: where the model goes.
    """
    if weights is None:
        from advss_zoo.models.architecture import Architecture
        from advss_zoo.models.resnetv2 import ResNetV2

        return ResNetV2(Architecture()).to(device).eval()
    from advss_zoo.zoo.load import load_model

    return load_model(_name if weights == "default" else f"{_name}.{weights}", device)


def _entry_point(_name):
    tags = [entry.tag for entry in _index.entries() if entry.name == _name]
    function = _update_wrapper(_partial(_load, _name), _load)
    function.__doc__ = _load.__doc__.format(full_names=" ".join(f"{_name}.{tag}" for tag in tags), tags=", ".join(tags))
    return function


globals().update({_entry.name.replace("-", "_"): _entry_point(_entry.name) for _entry in _index.entries()})
