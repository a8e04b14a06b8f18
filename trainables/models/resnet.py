from typing import Literal
from trainables.models.base import ModelOptions, Network
class ResNetOptions(ModelOptions):
    model: Literal["resnet8"] = "resnet8"
    def build(self, classes: int, channels: int, size: int) -> Network: raise ValueError
