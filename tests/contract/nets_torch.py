"""The contract's nets as PyTorch users write them."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


def linear() -> nn.Module:
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(192, 3)))


def tiny_bn() -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(4),
            relu=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(4, 3),
        )
    )


def tiny_dropout() -> nn.Module:
    stem = nn.Sequential(OrderedDict(drop=nn.Dropout(0.5), hidden=nn.Linear(192, 16)))
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            stem=stem,
            relu=nn.ReLU(),
            drop=nn.Dropout(0.25),
            fc=nn.Linear(16, 3),
        )
    )


def tiny_convolutional() -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 3, padding=1, bias=False),
            relu=nn.ReLU(),
            classifier=nn.Conv2d(4, 3, 1),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
        )
    )


class TinyAuxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.fc = nn.Linear(4, 3)
        self.aux = nn.Sequential(OrderedDict(fc=nn.Linear(4, 3)))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.conv(x).relu().mean((2, 3))
        return (self.fc(x), self.aux(x)) if self.training else self.fc(x)


def tiny_auxiliary() -> nn.Module:
    return TinyAuxiliary()


class TinyRepeated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.mix = nn.Linear(4, 4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.mix(self.mix(self.conv(x).relu().mean((2, 3)))))
        return logits


def tiny_repeated() -> nn.Module:
    return TinyRepeated()
