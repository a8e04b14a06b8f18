"""NormKD: each sample's temperature is proportional to the standard deviation of its logits, per network."""

# B batch, C classes

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import Temperature, TemperatureOptions, TrainingProgress, Weights, softened_divergence
from trainables.temperatures.standardized import row_std


def norm_loss(student: Tensor, teacher: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """T_t² · KL(softmax(t / T_t) ‖ softmax(s / T_s)), T = τ · std of the logits, averaged over the batch.

    The gradient also flows through the standard deviation of the student's logits.

    Source: Chi et al., NormKD, 2023.

    Args:
        student: logits s, shape (B, C).
        teacher: logits t, shape (B, C).
        tau: τ.

    Returns:
        The loss, a scalar, float32, and T_s, shape (B, 1).
    """
    student, teacher = student.float(), teacher.float()
    t_student, t_teacher = tau * row_std(student), tau * row_std(teacher)
    divergence = softened_divergence(student, teacher, t_student, t_teacher)
    return (t_teacher.square() * divergence).mean(), t_student


class NormOptions(TemperatureOptions):
    """T = τ times the standard deviation of the sample's logits, for each network its own (Chi et al. 2023).

    Published with ce_weight 0.1 and kd_weight 0.9 at the distiller.
    """

    published: ClassVar[Weights | None] = Weights(ce_weight=0.1, kd_weight=0.9)

    kind: Literal["norm"] = "norm"
    tau: float = Field(2.0, title="τ", ge=0.01, le=1000, description="τ: T in units of the logits' standard deviation.")

    def build(self, classes: int) -> Temperature:
        return NormTemperature(self)


class NormTemperature(Temperature):
    """``seen`` is the student's T of each sample."""

    def __init__(self, options: NormOptions) -> None:
        super().__init__()
        self.options = options

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        loss, t_student = norm_loss(student, teacher, self.options.tau)
        self.seen = t_student.detach().squeeze(1)
        return loss
