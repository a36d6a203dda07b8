"""Predicts images in plain PyTorch; `native/torch_loop.py` is what trains."""

from __future__ import annotations

import torch
from task import answer_predictions, model_of, options_of, validation_images
from torch.utils.data import DataLoader


def main() -> None:
    options = options_of(__doc__)
    images = validation_images(options)
    model = model_of(options)
    with torch.no_grad():
        probabilities = [
            model(batch).softmax(1)
            for batch, _ in DataLoader(images, options.batch, num_workers=options.workers)
        ]
    files = [file for file, _ in images.samples]
    answer_predictions(options, torch.cat(probabilities), files, images.classes)


if __name__ == "__main__":
    main()
