"""Whole searches in PyTorch, as plain loops that somebody would write first: best of n, zero-order
search and search over paths (Ma et al., arXiv 2501.09732, section 3.2) on the lab's scenes model,
scored by its clip verifier; and a best of n with diffusers' own pipeline.

They do the work of the search that is timed beside them: as many evaluations of the network, and as
many pictures scored. The noises are PyTorch's.
"""
import torch

import networks

# Of `noisesearch generate --steps 20 --guidance 2`, and of search over paths with its defaults.
STEPS, FIRST_STEPS, LEG_STEPS = 20, 18, 5
SIGMA, FORWARD, BACKWARD = 0.11, 0.78, 0.81
NEIGHBOURS, COSINE, PATHS = 4, 0.95, 2


class World:
    """The scenes model and its verifier, at most `batch` candidates at a time; with `bf16` both have
    their weights and activations in it, and the sums of the solver are in f32."""

    def __init__(self, batch, bf16):
        from towers import Clip
        from unet import TOKENS

        self.batch, self.draws = batch, 0
        self.kind = torch.bfloat16 if bf16 else torch.float32
        self.network = networks.Scenes().to(self.kind, memory_format=torch.channels_last)
        self.clip = Clip().eval()
        self.clip.load_state_dict(networks.lab_weights("scenes-clip"))
        prompt = networks.Scenes.PROMPT
        with torch.no_grad():
            self.text = self.clip.embed_text(torch.tensor([prompt + [0] * (TOKENS - len(prompt))]))
        self.clip.to(self.kind)

    def velocity(self, x, level):
        return self.network(x.to(self.kind), level).float()

    def noise(self):
        self.draws += 1
        return torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(self.draws))

    def solved(self, x, start, end, steps):
        """Euler's method from level `start` to `end`."""
        for i in range(steps):
            x = x - (start - end) / steps * self.velocity(x, start + (end - start) * i / steps)
        return x

    def score(self, x0):
        image = ((x0.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
        return self.clip.embed_image(image.to(self.kind)).float() @ self.text.T

    def in_batches(self, rows, work):
        """`work` of rows, a batch at a time; it gives tensors with a row each."""
        parts = [work(torch.stack(rows[i:i + self.batch])) for i in range(0, len(rows), self.batch)]
        return [torch.cat(part) for part in zip(*parts)]

    def scores(self, noises):
        work = lambda x: (self.score(self.solved(x, 1.0, 0.0, STEPS)),)
        return self.in_batches(noises, work)[0].flatten()


def random(world, count):
    return world.scores([world.noise() for _ in range(count)]).max()


def neighbour(x, direction):
    """Of the same norm, with this cosine to x."""
    unit = x / x.norm()
    across = direction - (direction * unit).sum() * unit
    return x.norm() * (COSINE * unit + (1 - COSINE**2) ** 0.5 * across / across.norm())


def zero_order(world, count):
    pivot = world.noise()
    left, best = count - 1, world.scores([pivot]).max()
    while left > 0:
        near = [neighbour(pivot, world.noise()) for _ in range(min(NEIGHBOURS, left))]
        scores = world.scores(near)
        if scores.max() > best:
            pivot, best = near[scores.argmax()], scores.max()
        left -= len(near)
    return best


def legs():
    """Levels up to which is renoised and down to which is solved."""
    level, found = SIGMA, []
    while level > 1e-6:
        up = level + FORWARD
        level = max(0.0, up - BACKWARD)
        found.append((up, level if level > 1e-6 else 0.0))
    return found


def paths(world, count):
    noises = count // (PATHS * len(legs()))
    begin = lambda x: (world.solved(x, 1.0, SIGMA, FIRST_STEPS),)
    survivors, level = world.in_batches([world.noise() for _ in range(PATHS)], begin)[0], SIGMA
    for up, down in legs():
        # From alpha x0 + sigma e at `level` to the level `up` of the same path.
        ratio = (1 - up) / (1 - level)
        spread = (up**2 - (ratio * level) ** 2) ** 0.5
        rows = [ratio * x + spread * world.noise() for x in survivors for _ in range(noises)]

        def leg(x):
            x = world.solved(x, up, down, LEG_STEPS)
            return x, world.score(x - down * world.velocity(x, down) if down else x)

        states, scores = world.in_batches(rows, leg)
        survivors, level = states[scores.flatten().topk(PATHS).indices], down
    return scores.max()


ALGORITHMS = {"random": random, "zero-order": zero_order, "paths": paths}


def search(algorithm, count, batch, bf16):
    world = World(batch, bf16)
    return lambda: ALGORITHMS[algorithm](world, count)


def best_of(count, steps, side, bf16):
    """With diffusers' StableDiffusionPipeline, one candidate at a time, scored by brightness."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
                              clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    pipe = StableDiffusionPipeline(
        unet=networks.sd15(), vae=networks.autoencoder(), scheduler=scheduler, text_encoder=None,
        tokenizer=None, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    kind = torch.bfloat16 if bf16 else torch.float32
    pipe.to(dtype=kind)
    words, none = (networks.reference.inputs(name, (1, 77, 768)).to(kind) for name in ("words", "none"))

    def run():
        images = (pipe(prompt_embeds=words, negative_prompt_embeds=none, num_inference_steps=steps,
                       guidance_scale=7.5, height=side, width=side, output_type="np",
                       generator=torch.Generator().manual_seed(seed)).images[0]
                  for seed in range(count))
        return torch.tensor(max(float(image.mean()) for image in images))

    return run
