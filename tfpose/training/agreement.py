"""Training on the labels of a teacher: the evaluations of the run are agreements with the teacher."""

from __future__ import annotations

import dataclasses

import keras

from tfpose.evaluation.shares import EvaluationShare
from tfpose.evaluation.teacher_agreement import agreement_name, rename_metrics
from tfpose.training.loop import TrainingPlan
from tfpose.training.session import RunSettings


def report_agreement(plan: TrainingPlan, run: RunSettings) -> tuple[TrainingPlan, RunSettings]:
    """Returns a plan and settings whose metrics of evaluations have the names of agreements."""
    evaluate = plan.hooks.evaluate
    if evaluate is None:
        return plan, run

    def evaluate_agreement(model: keras.Model, step: int, share: EvaluationShare) -> dict[str, float]:
        return rename_metrics(evaluate(model, step, share))

    metrics = tuple(agreement_name(name) for name in plan.hooks.metrics)
    hooks = dataclasses.replace(plan.hooks, evaluate=evaluate_agreement, metrics=metrics)
    best_metric = None if run.best_metric is None else agreement_name(run.best_metric)
    return dataclasses.replace(plan, hooks=hooks), dataclasses.replace(run, best_metric=best_metric)
