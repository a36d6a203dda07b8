"""The same transfer learning with Keras on torch."""

from __future__ import annotations

import os
from argparse import Namespace

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch
from keras import layers
from task import answer_accuracy, answer_predictions, loaders, options_of, validation_images
from torch.utils.data import DataLoader

keras.config.set_image_data_format("channels_first")  # the faster one on torch


def main() -> None:
    options = options_of(__doc__)
    keras.utils.set_random_seed(options.seed)
    model = model_of(options)
    if options.predict:
        images = validation_images(options)
        batches = DataLoader(images, options.batch, num_workers=options.workers)
        probabilities = torch.from_numpy(model.predict(batches, verbose=0)).softmax(1)
        files = [file for file, _ in images.samples]
        answer_predictions(options, probabilities, files, images.classes)
        return
    model.compile(
        keras.optimizers.SGD(options.lr, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    data = loaders(options)
    history = model.fit(
        data["train"], validation_data=data["val"], epochs=options.epochs, verbose=0
    )
    answer_accuracy(options, history.history["val_accuracy"][-1])


def model_of(options: Namespace) -> keras.Model:
    """Returns Keras's own MobileNetV2 with torchvision's weights."""
    shape = (3, options.size, options.size)
    body = keras.applications.MobileNetV2(shape, include_top=False, weights=None)
    state = torch.load(options.weights, map_location="cpu", weights_only=True)
    tensors = iter(tensor.numpy() for name, tensor in state.items() if "num_batches" not in name)
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.epsilon, layer.momentum = 1e-5, 0.9
            layer.set_weights([next(tensors) for _ in range(4)])
        elif isinstance(layer, layers.DepthwiseConv2D):
            layer.set_weights([next(tensors).transpose(2, 3, 0, 1)])
        elif isinstance(layer, layers.Conv2D):
            layer.set_weights([next(tensors).transpose(2, 3, 1, 0)])
        elif isinstance(layer, layers.ZeroPadding2D):
            layer.padding = ((1, 1), (1, 1))
    body.trainable = not options.frozen
    head = layers.Dense(options.classes)
    model = keras.Sequential([body, layers.GlobalAveragePooling2D(), layers.Dropout(0.2), head])
    model.build((None, *shape))
    if options.predict:
        head.set_weights([next(tensors).T, next(tensors)])
    return model


if __name__ == "__main__":
    main()
