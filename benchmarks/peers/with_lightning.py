"""The same transfer learning with Lightning."""

from __future__ import annotations

import logging
import tempfile
from argparse import Namespace

import pytorch_lightning as lightning
import torch
from task import (
    answer_accuracy,
    answer_predictions,
    loaders,
    model_of,
    options_of,
    training_parts,
    validation_images,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Classifier(lightning.LightningModule):
    """The model, its loss and its optimizer."""

    def __init__(self, options: Namespace) -> None:
        super().__init__()
        self.options = options
        self.model = model_of(options)
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        return self.loss(self.model(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        logits = self.model(images)
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict({"loss": self.loss(logits, labels), "accuracy": accuracy})

    def predict_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return self.model(batch[0]).softmax(1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return training_parts(self.options, self.model)[1]


def main() -> None:
    options = options_of(__doc__)
    classifier = Classifier(options)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=options.epochs,
            accelerator="cpu",
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        if options.predict:
            images = validation_images(options)
            batches = DataLoader(images, options.batch, num_workers=options.workers)
            probabilities = torch.cat(trainer.predict(classifier, batches))
            files = [file for file, _ in images.samples]
            answer_predictions(options, probabilities, files, images.classes)
            return
        data = loaders(options)
        trainer.fit(classifier, data["train"], data["val"])
        answer_accuracy(options, trainer.callback_metrics["accuracy"])


if __name__ == "__main__":
    main()
