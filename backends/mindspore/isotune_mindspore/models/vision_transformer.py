"""Vision Transformer (Dosovitskiy et al., "An image is worth 16x16 words", 2020)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn, ops

from isotune_mindspore.models.blocks import Attention, Mlp
from isotune_mindspore.models.layers import conv, gelu, layer_norm, linear, zeros

EPSILON = 1e-6


class SelfAttention(nn.Cell):
    """Multi-head attention of a sequence to itself, with ``nn.MultiheadAttention``'s names."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.scale = (width // heads) ** -0.5
        self.in_proj_weight = zeros((3 * width, width), "in_proj_weight")
        self.in_proj_bias = zeros((3 * width,), "in_proj_bias")
        self.out_proj = linear(width, width)
        self.attention = Attention(heads)
        self.matmul, self.bias_add = ops.MatMul(transpose_b=True), ops.BiasAdd()
        self.reshape = ops.Reshape()

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, length, width) of `x`, of the same shape."""
        n, length, width = x.shape
        projected = self.matmul(self.reshape(x, (n * length, width)), self.in_proj_weight)
        projected = self.bias_add(projected, self.in_proj_bias)
        parts = self.attention.split(self.reshape(projected, (n, length, 3 * width)))
        return self.out_proj(self.attention(parts[0] * self.scale, parts[1], parts[2]))


class EncoderLayer(nn.Cell):
    """Attention and two linear layers, each around a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1 = layer_norm(width, EPSILON)
        self.self_attention = SelfAttention(width, heads)
        self.ln_2 = layer_norm(width, EPSILON)
        self.mlp = Mlp(width, hidden, gelu)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, length, width) of `x`, of the same shape."""
        x = x + self.self_attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Cell):
    """Adds the positions to a sequence and runs it through all layers."""

    def __init__(self, length: int, layers: int, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.pos_embedding = zeros((1, length, width), "pos_embedding")
        cells = [(f"encoder_layer_{i}", EncoderLayer(width, heads, hidden)) for i in range(layers)]
        self.layers = nn.SequentialCell(OrderedDict(cells))
        self.ln = layer_norm(width, EPSILON)

    def construct(self, x: Tensor) -> Tensor:
        """Returns (N, length, width) of `x`, of the same shape."""
        return self.ln(self.layers(x + self.pos_embedding))


class VisionTransformer(nn.Cell):
    """Patches of an image as a sequence, whose first place, the class token's, is classified.

    Args:
        patch: Height and width of a patch, in pixels.
        layers: Number of layers of the encoder.
        width: Width of the sequence.
        heads: Number of attention heads.
        image_size: Height and width of images, a multiple of `patch`.
        classes: Number of logits.
    """

    def __init__(
        self,
        patch: int,
        layers: int,
        width: int,
        heads: int,
        image_size: int = 224,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.class_token = zeros((1, 1, width), "class_token")
        self.conv_proj = conv(3, width, patch, patch, bias=True)
        length = (image_size // patch) ** 2 + 1
        self.encoder = Encoder(length, layers, width, heads, 4 * width)
        self.heads = nn.SequentialCell(OrderedDict(head=linear(width, classes)))
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()
        self.concat, self.tile = ops.Concat(1), ops.Tile()

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, image_size, image_size)."""
        x = self.conv_proj(x)
        n, width, rows, columns = x.shape
        x = self.transpose(self.reshape(x, (n, width, rows * columns)), (0, 2, 1))
        x = self.encoder(self.concat((self.tile(self.class_token, (n, 1, 1)), x)))
        return self.heads(x[:, 0])


VISION_TRANSFORMERS: dict[str, Callable[..., nn.Cell]] = {
    "vit_b_16": partial(VisionTransformer, 16, 12, 768, 12),
    "vit_b_32": partial(VisionTransformer, 32, 12, 768, 12),
    "vit_l_16": partial(VisionTransformer, 16, 24, 1024, 16),
    "vit_l_32": partial(VisionTransformer, 32, 24, 1024, 16),
    "vit_h_14": partial(VisionTransformer, 14, 32, 1280, 16),
}
"""The family by torchvision's names: the paper's table 1."""
