"""Two independent convolutional classifiers of glyphs, made of 3x3 convolutions, ReLU and pooling.

`classifier` is a verifier; `oracle` only evaluates. They differ in width, pooling, order, seed and
augmentation. Both end in 64 features (global average) and one linear map to the 36 class logits.
"""
import torch
import torch.nn.functional as F
from torch import nn

CLASSES, FEATURES = 36, 64
# Output channels of each convolution; "M" halves by maximum, "A" by average.
CONFIGS = {
    "classifier": dict(plan=[16, "M", 32, 32, "M", 64, FEATURES], seed=11, mild=False),
    "oracle": dict(plan=[24, 24, "A", 48, "A", 96, FEATURES], seed=23, mild=True),
}


class Judge(nn.Module):
    """Images [b, 1, 32, 32] in [0, 1] -> logits [b, 36]."""

    def __init__(self, plan):
        super().__init__()
        self.pools, channels, convs, norms = [], 1, [], []
        for item in plan:
            if isinstance(item, str):
                self.pools[-1] = item
                continue
            convs.append(nn.Conv2d(channels, item, 3, padding=1))
            norms.append(nn.BatchNorm2d(item))
            self.pools.append("")
            channels = item
        self.convs, self.norms = nn.ModuleList(convs), nn.ModuleList(norms)
        self.head = nn.Linear(channels, CLASSES)

    def features(self, x):
        """[b, 64], none below 0."""
        for conv, norm, pool in zip(self.convs, self.norms, self.pools):
            x = F.relu(norm(conv(x)))
            if pool:
                x = F.max_pool2d(x, 2) if pool == "M" else F.avg_pool2d(x, 2)
        return x.mean(dim=(2, 3))

    def forward(self, x):
        return self.head(self.features(x))

    @torch.no_grad()
    def fold(self):
        """Moves each batch norm into the convolution before it; for evaluation only."""
        for conv, norm in zip(self.convs, self.norms):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            conv.weight.mul_(scale[:, None, None, None])
            conv.bias.copy_((conv.bias - norm.running_mean) * scale + norm.bias)
        self.norms = nn.ModuleList(nn.Identity() for _ in self.norms)
        return self


def augment(x, mild, generator):
    """Shifts, turns, stretches and bends [b, 1, 32, 32] a little, then blurs and adds noise."""
    b = len(x)
    amount = 0.05 if mild else 0.1
    random = lambda *shape: torch.rand(*shape, generator=generator) * 2 - 1
    matrix = torch.eye(2).expand(b, 2, 2) + amount * random(b, 2, 2)
    grid = F.affine_grid(torch.cat([matrix, amount * random(b, 2, 1)], dim=2), list(x.shape), False)
    bend = F.interpolate(random(b, 2, 5, 5), (32, 32), mode="bicubic") * 0.5 * amount
    x = F.grid_sample(x, grid + bend.permute(0, 2, 3, 1), align_corners=False)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)
    x = torch.lerp(x, blurred, torch.rand(b, 1, 1, 1, generator=generator) * (0.5 if mild else 1))
    noise = torch.randn(x.shape, generator=generator)
    strength = torch.rand(b, 1, 1, 1, generator=generator) * (0.1 if mild else 0.2)
    return (x + strength * noise).clamp(0, 1)
