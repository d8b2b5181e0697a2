"""Attention pooling against a re-implementation by loops, written from the paper's description of the network."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import layer_norm

from advss_zoo.models.attention import SHAPES, AttentionPooling, TransformerShape

CHANNELS, GRID = 8, 4
SHAPE = TransformerShape(layers=2, heads=2, feedforward=12)


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def transformed(layer, x):
    """One post-norm layer on (tokens, channels): attention head by head, then the feed-forward part."""
    q, k, v = (x @ layer.self_attn.in_proj_weight.T + layer.self_attn.in_proj_bias).chunk(3, dim=1)
    size = CHANNELS // SHAPE.heads
    heads = []
    for head in range(SHAPE.heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        heads.append(scores.softmax(dim=1) @ v[:, part])
    attended = torch.cat(heads, dim=1) @ layer.self_attn.out_proj.weight.T + layer.self_attn.out_proj.bias
    x = layer_norm(x + attended, (CHANNELS,), layer.norm1.weight, layer.norm1.bias)
    hidden = gelu(x @ layer.linear1.weight.T + layer.linear1.bias)
    fed = hidden @ layer.linear2.weight.T + layer.linear2.bias
    return layer_norm(x + fed, (CHANNELS,), layer.norm2.weight, layer.norm2.bias)


def test_logits_ask_at_each_hidden_position_for_each_hidden_patch():
    torch.manual_seed(0)
    pooling = AttentionPooling(CHANNELS, GRID, SHAPE).eval()
    torch.nn.init.normal_(pooling.columns)
    torch.nn.init.normal_(pooling.token)
    patches = torch.randn(3, GRID**2, CHANNELS)
    order = torch.stack([torch.randperm(GRID**2) for _ in range(3)])
    logits = pooling(patches, order)
    for b in range(3):
        hidden, visible = order[b, :4].tolist(), order[b, 4:].tolist()
        sequence = torch.cat([pooling.token[0], patches[b, visible]])
        for layer in pooling.layers:
            sequence = transformed(layer, sequence)
        for i, position in enumerate(hidden):
            query = sequence[0] + pooling.rows[position // GRID] + pooling.columns[position % GRID]
            for j, patch in enumerate(hidden):
                assert logits[b, i, j].item() == pytest.approx((query @ patches[b, patch]).item(), abs=1e-4)


def test_initial_weights_are_those_of_the_authors():
    torch.manual_seed(0)
    pooling = AttentionPooling(256, GRID, TransformerShape(layers=1, heads=4, feedforward=64))
    (layer,) = pooling.layers
    assert layer.self_attn.in_proj_weight.std().item() == pytest.approx(math.sqrt(2 / (256 + 64)), rel=0.02)
    assert layer.self_attn.out_proj.weight.std().item() == pytest.approx(math.sqrt(2 / (256 + 256)), rel=0.02)
    assert pooling.rows.std().item() == pytest.approx(1, rel=0.1)
    assert not pooling.columns.any()
    assert not pooling.token.any()


def test_dropout_is_on_attention_and_after_both_sublayers_and_nowhere_else():
    (layer, *_) = AttentionPooling(CHANNELS, GRID, SHAPE).layers
    assert (layer.self_attn.dropout, layer.dropout1.p, layer.dropout2.p, layer.dropout.p) == (0.1, 0.1, 0.1, 0)


def test_the_shapes_of_the_literature():
    assert SHAPES["code"] == TransformerShape(layers=13, heads=16, feedforward=2048)
    assert SHAPES["light"] == TransformerShape(layers=3, heads=32, feedforward=640)
