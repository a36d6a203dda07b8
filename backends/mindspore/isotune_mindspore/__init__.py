"""The mindspore backend."""

from isotune_mindspore.environment import prepare

prepare()
