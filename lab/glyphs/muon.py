"""Muon: momentum, orthogonalised per matrix (Jordan et al. 2024), AdamW for everything else."""
import torch


def orthogonalise(g, steps=5):
    """Quintic Newton-Schulz iteration towards the nearest orthogonal matrices of [k, m, n]."""
    x = g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)
    flip = x.shape[1] > x.shape[2]
    x = x.mT if flip else x
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if flip else x


class Muon(torch.optim.Optimizer):
    """An update has the root mean square `0.2 * lr` of a typical AdamW step (arXiv 2502.16982).

    A matrix that holds several side by side (`attn.qkv`) is updated part by part.
    """

    def __init__(self, matrices, lr, momentum=0.95, decay=0.01):
        super().__init__(matrices, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for weight in group["params"]:
                by_shape.setdefault(weight.shape, []).append(weight)
            for weights in by_shape.values():
                self.update(weights, group)

    def update(self, weights, group):
        rows, columns = weights[0].shape
        steps = []
        for weight in weights:
            velocity = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
            velocity.lerp_(weight.grad, 1 - group["momentum"])
            steps.append(weight.grad.lerp(velocity, group["momentum"]))
        parts = rows // columns if rows % columns == 0 and rows == 3 * columns else 1
        stacked = torch.stack(steps).reshape(len(weights) * parts, rows // parts, columns)
        size = 0.2 * max(rows // parts, columns) ** 0.5
        stacked = orthogonalise(stacked).reshape(len(weights), rows, columns) * size
        for weight, step in zip(weights, stacked):
            weight.mul_(1 - group["lr"] * group["decay"]).sub_(step, alpha=group["lr"])


def optimisers(net, lr):
    """Muon for the matrices inside the blocks, AdamW for the rest."""
    matrices = [w for name, w in net.named_parameters() if name.startswith("blocks") and w.dim() == 2]
    inside = {id(w) for w in matrices}
    rest = [w for w in net.parameters() if w.requires_grad and id(w) not in inside]
    return [Muon(matrices, lr), torch.optim.AdamW(rest, lr, betas=(0.9, 0.95), weight_decay=0.0)]
