"""The same transfer learning with fastai."""

from __future__ import annotations

from argparse import Namespace
from functools import partial

from fastai.vision.all import (
    SGD,
    CrossEntropyLossFlat,
    FlipItem,
    ImageDataLoaders,
    Learner,
    Normalize,
    RandomResizedCrop,
    accuracy,
    get_image_files,
)
from task import (
    MEAN,
    STD,
    answer_accuracy,
    answer_predictions,
    body_and_head,
    model_of,
    options_of,
)


def main() -> None:
    options = options_of(__doc__)
    learner = learner_of(options)
    with learner.no_bar(), learner.no_logging():
        if options.predict:
            files = get_image_files(f"{options.data}/val")
            probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(files))
            answer_predictions(options, probabilities, list(map(str, files)), learner.dls.vocab)
            return
        if options.frozen:
            learner.freeze()
        learner.fit(options.epochs, options.lr)
    answer_accuracy(options, learner.recorder.values[-1][-1])


def learner_of(options: Namespace) -> Learner:
    """Returns the images and the model, ready to train."""
    images = ImageDataLoaders.from_folder(
        options.data,
        train="train",
        valid="val",
        seed=options.seed,
        item_tfms=[RandomResizedCrop(options.size), FlipItem()],
        batch_tfms=Normalize.from_stats(MEAN, STD),
        bs=options.batch,
        num_workers=options.workers,
    )
    # fastai itself decides what trains: batch normalizations do, in a frozen backbone too.
    model = model_of(Namespace(**{**vars(options), "frozen": False}))
    return Learner(
        images,
        model,
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(SGD, mom=0.9),
        splitter=body_and_head,
        metrics=accuracy,
    )


if __name__ == "__main__":
    main()
