"""The same transfer learning with the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import tempfile
from argparse import Namespace

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
from transformers import Trainer, TrainingArguments


class Classifier(nn.Module):
    """A model that computes its own loss, as the Trainer wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.loss = nn.CrossEntropyLoss()

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.model(images)
        return {"loss": self.loss(logits, labels), "logits": logits}


def collate(samples: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
    """Returns a batch by the names of `forward`."""
    images, labels = zip(*samples, strict=True)
    return {"images": torch.stack(images), "labels": torch.tensor(labels)}


def trainer_of(options: Namespace, folder: str) -> Trainer:
    """Returns the Trainer with model, images and optimizer."""
    data = loaders(options)
    model = model_of(options)
    return Trainer(
        Classifier(model),
        TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=options.batch,
            per_device_eval_batch_size=options.batch,
            num_train_epochs=options.epochs,
            lr_scheduler_type="constant",
            learning_rate=options.lr,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_num_workers=options.workers,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            label_names=["labels"],
            seed=options.seed,
        ),
        data_collator=collate,
        train_dataset=data["train"].dataset,
        eval_dataset=data["val"].dataset,
        compute_metrics=lambda found: {
            "accuracy": (found.predictions.argmax(1) == found.label_ids).mean()
        },
        optimizers=(training_parts(options, model)[1], None),
    )


def main() -> None:
    options = options_of(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(options, folder)
        if options.predict:
            images = validation_images(options)
            logits = torch.from_numpy(trainer.predict(images).predictions)
            files = [file for file, _ in images.samples]
            answer_predictions(options, logits.softmax(1), files, images.classes)
            return
        trainer.train()
        scores = [entry for entry in trainer.state.log_history if "eval_accuracy" in entry]
        answer_accuracy(options, scores[-1]["eval_accuracy"])


if __name__ == "__main__":
    main()
