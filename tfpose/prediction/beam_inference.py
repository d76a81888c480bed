"""Apache Beam's RunInference over a pose model. Requires the package apache-beam."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from tfpose.messages import describe_error
from tfpose.prediction.local_workers import end_run, join_workers, note_task
from tfpose.prediction.many_inputs import ManyInput
from tfpose.prediction.many_prediction import LoadedModel, predict_input
from tfpose.prediction.many_results import DoneMarks, ReportRow, write_report


@dataclasses.dataclass(frozen=True)
class WorkerModel:
    """What a process keeps between inputs. Its model predicts one input at a time."""

    loaded: LoadedModel
    lock: threading.Lock


class PoseModelHandler(ModelHandler[ManyInput, ReportRow, WorkerModel]):
    """Predicts whole inputs with RunInference and writes their results; a broken input becomes a row that says so."""

    def __init__(self, load: Callable[[], LoadedModel], output: str, marks: DoneMarks) -> None:
        """Prepares the handler, which is sent to the workers.

        Args:
            load: Loads the model; picklable.
            output: Folder or address of the results.
            marks: Marks of the inputs that are done.
        """
        # An input is a batch: its frames are batched within.
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._load, self._output, self._marks = load, output, marks

    def load_model(self) -> WorkerModel:
        """Loads the model, once in each process."""
        join_workers()
        try:
            return WorkerModel(self._load(), threading.Lock())
        except Exception as error:
            end_run(describe_error(error))
            raise

    def run_inference(
        self, batch: Sequence[ManyInput], model: WorkerModel, inference_args: dict[str, Any] | None = None
    ) -> Iterator[ReportRow]:
        """Yields the row of each input after its results are written."""
        for item in batch:
            with model.lock:
                note_task(str(item.position))
                yield predict_input(item, model.loaded, self._output, self._marks)
                note_task("")

    def get_num_bytes(self, batch: Sequence[ManyInput]) -> int:
        """Returns the bytes of the names of the inputs, for Beam's metrics."""
        return sum(len(address) for item in batch for address in item.addresses)

    def get_metrics_namespace(self) -> str:
        """Returns the name above Beam's metrics."""
        return "tfpose"


class _SkipDone(beam.DoFn):
    """Separates the rows of inputs that are done from the inputs that are not."""

    TO_DO = "to_do"

    def __init__(self, marks: DoneMarks) -> None:
        self._marks = marks

    def process(self, element: ManyInput) -> Iterable[Any]:
        row = self._marks.find(element)
        yield beam.pvalue.TaggedOutput(self.TO_DO, element) if row is None else row


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run predicts, and how.

    Attributes:
        load: Loads the model in a worker; picklable.
        output: Folder or address of the results.
        settings: Digest of the model and the settings.
        options: Options of Beam, such as '--runner=DataflowRunner'.
        overwrite: Whether results may replace those of another input with the same name.
    """

    load: Callable[[], LoadedModel]
    output: str
    settings: str
    options: Sequence[str]
    overwrite: bool = False


def run_pipeline(job: Job, inputs: Sequence[ManyInput], known: Sequence[ReportRow] = ()) -> None:
    """Predicts all inputs that are not done, and writes the report.

    Args:
        job: What to do with the inputs.
        inputs: The inputs.
        known: Rows of further inputs for the report.

    Raises:
        Exception: The pipeline fails; a failed input does not.
    """
    marks = DoneMarks(job.output, job.settings, job.overwrite)
    with beam.Pipeline(options=PipelineOptions(list(job.options))) as pipeline:
        checked = (
            pipeline
            | "Inputs" >> beam.Create(list(inputs))
            # Otherwise one worker would get all of them.
            | "Distribute" >> beam.Reshuffle()
            | "SkipDone" >> beam.ParDo(_SkipDone(marks)).with_outputs(_SkipDone.TO_DO, main="done")
        )
        predicted = checked[_SkipDone.TO_DO] | "Predict" >> RunInference(PoseModelHandler(job.load, job.output, marks))
        rows = (checked["done"], predicted, pipeline | "Known" >> beam.Create(list(known))) | "Rows" >> beam.Flatten()
        _ = rows | "AllRows" >> beam.combiners.ToList() | "Report" >> beam.Map(write_report, job.output)
