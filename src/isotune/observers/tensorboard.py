"""Observer ``tensorboard``: scalars, images, text and hyperparameters for TensorBoard."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.errors import IsotuneError
from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted, StepEnded
from isotune.observers.figures import figures, png
from isotune.observers.settings import Setting, numbers, settings
from isotune.spec.observer import ObserverSpec

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

FOLDER = "tensorboard"
EVERY_STEPS = 16
"""Number of steps between two losses; fewer are not fetched from the device."""

MOST_IMAGES = 64
"""Largest number of images of a batch that are shown."""

STATUS = {"finished": "STATUS_SUCCESS", "stopped": "STATUS_RUNNING", "failed": "STATUS_FAILURE"}


class TensorBoardSpec(ObserverSpec):
    """Writes a log for TensorBoard into the run folder; ``tensorboard --logdir runs`` shows all."""

    name: Literal["tensorboard"] = "tensorboard"

    def open(self, folder: Path) -> TensorBoardLog:
        """Returns what writes the log.

        Raises:
            IsotuneError: TensorBoard is not installed.
        """
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise IsotuneError(
                'TensorBoard is not installed; `pip install "isotune[tensorboard]"` installs it.'
            ) from None
        return TensorBoardLog(EventFileWriter(str(folder / FOLDER)))


class TensorBoardLog:
    """Writes the log of a run.

    TensorBoard's own functions for images and hyperparameters need TensorFlow; its protocol does
    not.

    Args:
        writer: Writes events to a file.
    """

    def __init__(self, writer: EventFileWriter) -> None:
        self._writer = writer
        self._steps_per_epoch = 0

    def isotune_run_started(self, event: RunStarted) -> None:
        """Shows the spec, and images of the first batch as the model gets them."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._steps_per_epoch = event.steps_per_epoch
        # TensorBoard forgets what was written after this step by a process that was killed.
        begins = SessionLog(status=SessionLog.START)
        self._add(Event(step=event.steps + 1, session_log=begins))
        if event.steps == 0:
            self._text("spec", f"```yaml\n{event.spec.text()}```")
            if event.sample is not None:
                self._image("batch", _as_png(_side_by_side(event.sample()[:MOST_IMAGES])), 0)
        self._settings(settings(event))

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Shows the loss of a step."""
        if event.loss is not None and event.step % EVERY_STEPS == 0:
            step = (event.epoch - 1) * self._steps_per_epoch + event.step
            self._scalars({"step_loss": event.loss}, step)

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Shows the metrics of an epoch."""
        values = numbers(event.metrics)
        step = int(values.pop("steps"))
        self._scalars(values, step)

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Shows the confusion matrix and the worst mistakes of the best epoch."""
        for name, figure in figures(event):
            self._image(name, png(figure), int(event.summary["best"]["steps"]))

    def isotune_run_ended(self, event: RunEnded) -> None:
        """Closes the file."""
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        end = plugin_data_pb2.SessionEndInfo(
            status=getattr(api_pb2, STATUS[event.status]), end_time_secs=time.time()
        )
        data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        self._hparams(metadata.SESSION_END_INFO_TAG, data)
        self._writer.close()

    def _settings(self, values: dict[str, Setting]) -> None:
        """Shows the settings as hyperparameters, beside the metrics of all runs."""
        from google.protobuf.struct_pb2 import Value
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in values.items():
            if isinstance(value, bool):
                shown = Value(bool_value=value)
            elif isinstance(value, str):
                shown = Value(string_value=value)
            else:
                shown = Value(number_value=value)
            start.hparams[name].CopyFrom(shown)
        data = plugin_data_pb2.HParamsPluginData(session_start_info=start)
        self._hparams(metadata.SESSION_START_INFO_TAG, data)

    def _hparams(self, tag: str, data: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.plugins.hparams import metadata

        plugin = SummaryMetadata.PluginData(
            plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString()
        )
        empty = metadata.NULL_TENSOR
        summary = SummaryMetadata(plugin_data=plugin)
        self._summary([Summary.Value(tag=tag, metadata=summary, tensor=empty)], 0)

    def _scalars(self, values: dict[str, float], step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        shown = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._summary(shown, step)

    def _image(self, name: str, encoded: bytes, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(encoded_image_string=encoded, colorspace=3)
        self._summary([Summary.Value(tag=name, image=image)], step)

    def _text(self, name: str, text: str) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        plugin = SummaryMetadata.PluginData(plugin_name="text")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
        summary = SummaryMetadata(plugin_data=plugin)
        self._summary([Summary.Value(tag=name, metadata=summary, tensor=tensor)], 0)

    def _summary(self, values: list[Any], step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._add(Event(step=step, summary=Summary(value=values)))

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)
        self._writer.flush()


def _side_by_side(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns images as one, row by row: uint8, shape (rows * height, columns * width, 3)."""
    number, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(number)))
    rows = -(-number // columns)
    grid = np.zeros((rows * columns, height, width, channels), np.uint8)
    grid[:number] = images
    shaped = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return shaped.reshape(rows * height, columns * width, channels)


def _as_png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
