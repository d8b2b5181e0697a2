"""The nets of other libraries that every command is tried on each night, and that docs/models.md lists."""

from __future__ import annotations

NETS = {  # by name: what they are, and pixels a side
    "timm:resnet18?pretrained=false": ("ResNet", 32),
    "timm:convnext_atto?pretrained=false": ("ConvNeXt, layer norm", 32),
    "timm:vit_tiny_patch16_224?pretrained=false&img_size=32": ("vision transformer", 32),
    "timm:vit_tiny_patch16_224?pretrained=false": ("vision transformer", 224),
    "timm:mobilenetv3_small_100?pretrained=false": ("MobileNetV3", 224),
    "timm:efficientnet_b0?pretrained=false": ("EfficientNet", 224),
    "timm:resnet50_gn?pretrained=false": ("ResNet with group norm", 32),
    "timm:resnet18?pretrained=false&drop_rate=0.5": ("ResNet with dropout", 32),
    "torchvision:resnet18?pretrained=false": ("ResNet", 224),
}
