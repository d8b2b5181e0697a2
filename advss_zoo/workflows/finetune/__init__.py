"""A robust classifier from a folder of images."""

from advss_zoo.workflows.finetune.run import FinetunedRun, PlannedRun, finetune, plan_finetuning

__all__ = ["FinetunedRun", "PlannedRun", "finetune", "plan_finetuning"]
