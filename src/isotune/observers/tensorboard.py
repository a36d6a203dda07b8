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
from isotune.observers.losses import StepLosses
from isotune.observers.settings import Setting, numbers, settings
from isotune.spec.observer import ObserverSpec

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

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
        except ImportError as error:
            raise IsotuneError(
                f"TensorBoard cannot be imported ({error});"
                ' `pip install "isotune[tensorboard]"` installs it.'
            ) from None
        return TensorBoardLog(EventFileWriter(str(folder)))


class TensorBoardLog:
    """Writes the log of a run, each event at its number of training steps.

    TensorBoard's own functions for images and hyperparameters need TensorFlow; the format of its
    files, which is written here, does not.

    Args:
        writer: Writes events to a new file.
    """

    def __init__(self, writer: EventFileWriter) -> None:
        self._writer = writer
        self._losses = StepLosses()

    def isotune_run_started(self, event: RunStarted) -> None:
        """Shows the spec, and images of the first batch as the model gets them."""
        self._restart(event)
        self._losses.steps = event.steps
        if event.steps == 0:
            self._text("spec", f"```yaml\n{event.spec.text()}```")
            if event.sample is not None:
                self._image("batch", _as_png(_side_by_side(event.sample()[:MOST_IMAGES])), 0)
        self._hyperparameters(settings(event))

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Shows the losses of some steps."""
        if self._losses.step_ended(event):
            self._show_losses()

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Shows the metrics of an epoch."""
        self._losses.epoch_ended(event)
        self._show_losses()
        self._scalars(numbers(event.metrics), event.metrics.steps)

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Shows the confusion matrix and the worst mistakes of the best epoch."""
        for name, figure in figures(event).items():
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

    def _restart(self, event: RunStarted) -> None:
        """Makes TensorBoard forget what a killed process wrote of steps that are made again."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        last = event.history[-1] if event.history else None
        between = event.steps == (last.steps if last else 0)  # it may not have seen the epoch's end
        first = event.steps if between else event.steps + 1
        self._add(Event(step=first, session_log=SessionLog(status=SessionLog.START)))
        if between and last:
            self._scalars(numbers(last), last.steps)

    def _show_losses(self) -> None:
        for step, loss in self._losses.take().items():
            self._summary([_scalar("loss/step", loss)], step)

    def _hyperparameters(self, values: dict[str, Setting]) -> None:
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
        shown = {name: value for name, value in values.items() if name != "steps"}
        self._summary([_scalar(_tag(name), value) for name, value in shown.items()], step)

    def _image(self, name: str, encoded: bytes, step: int) -> None:
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = Image.open(BytesIO(encoded)).size
        image = Summary.Image(
            encoded_image_string=encoded, width=width, height=height, colorspace=3
        )
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
        self._writer.flush()  # a full disk is found here, and what a kill leaves is whole


def _scalar(tag: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, simple_value=value)


def _tag(name: str) -> str:
    """Returns the tag of a value of an epoch: the same of both splits become neighbors."""
    split, _, metric = name.partition("_")
    if split not in ("train", "val"):
        return name
    return f"{metric}/{split}"


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
