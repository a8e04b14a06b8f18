"""Initial weights of convolutions that several families share; all are drawn from torch's global generator."""

from torch import nn


def normal_fan_out(network: nn.Module) -> None:
    """Every convolution's weights from N(0, 2 / fan-out), its bias 0 (He et al. 2015); everything else is left alone.

    The fan-out is kernel area times output channels, also for grouped convolutions, as the CTKD authors count it.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            nn.init.normal_(module.weight, 0.0, (2 / (height * width * module.out_channels)) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
