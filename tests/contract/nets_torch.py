"""The contract's nets as PyTorch users write them."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


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
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            drop1=nn.Dropout(0.5),
            hidden=nn.Linear(192, 16),
            relu=nn.ReLU(),
            drop2=nn.Dropout(0.25),
            fc=nn.Linear(16, 3),
        )
    )
