"""Images made by formulas: fractals, blobs and textures, composed into scenes seen from several sides.

`draw_atlas` renders once what is slow: the point densities of many iterated function systems (IFS) [1]_,
sampled as in [2]_, silhouettes of random closed curves, and grey textures. `draw_scenes` then composes any
number of images from the atlas by affine lookups, so that a network can be fed from the same cores.

References
----------
.. [1] Kataoka et al., "Pre-training without natural images", ACCV 2020.
.. [2] Anderson, Farrell, "Improving fractal pre-training", WACV 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

MAX_MAPS = 8
N_OBJECTS = 3


@dataclass(frozen=True)
class Atlas:
    """What scenes are composed of.

    Parameters
    ----------
    shapes : Tensor of shape (n_shapes, n_variants, 2, side, side), uint8
        Channel 0 covers the background where it is high, channel 1 picks the colour.
    textures : Tensor of shape (n_textures, side, side), uint8
        Grey patterns.
    """

    shapes: Tensor
    textures: Tensor


def draw_atlas(
    n_systems: int, n_variants: int, n_textures: int, side: int, generator: Generator
) -> Atlas:
    """Render `n_systems` fractals, a quarter as many blobs, and textures, on the generator's device."""
    systems = sample_systems(n_systems, generator)
    variants = [
        draw_fractals(_vary(systems, generator), side, generator) for _ in range(n_variants)
    ]
    outlines = _normal((n_systems // 4, 2, 6), generator)
    blobs = [
        draw_blobs(outlines + 0.15 * _normal(outlines.shape, generator), side)
        for _ in range(n_variants)
    ]
    shapes = torch.cat([torch.stack(variants, 1), torch.stack(blobs, 1)])
    return Atlas(shapes, draw_textures(n_textures, side, generator))


def sample_singular_values(n_maps: int, n_systems: int, generator: Generator) -> Tensor:
    """Sample singular values whose attractor neither explodes nor collapses.

    Parameters
    ----------
    n_maps : int
        Affine maps of each system, at least 2.
    n_systems : int
        Systems to sample.
    generator : Generator
        Source of randomness; its device is the result's.

    Returns
    -------
    Tensor of shape (n_systems, n_maps, 2)
        1 >= s[..., 0] >= s[..., 1] >= 0, and the sum of s[..., 0] + 2 s[..., 1] over the maps of a system lies
        between (5 + n_maps) / 2 and (6 + n_maps) / 2 (Anderson and Farrell, Algorithm 1).
    """
    rest = (5 + n_maps + _uniform((n_systems,), generator)) / 2  # what is left of the sum
    values = torch.zeros(n_systems, n_maps, 2, device=generator.device)
    for i in range(n_maps - 1):
        later = 3.0 * (n_maps - 1 - i)  # the most that later maps can take
        low, high = ((rest - later) / 3).clamp(min=0), rest.clamp(max=1)
        first = low + (high - low) * _uniform((n_systems,), generator)
        rest = rest - first
        low, high = ((rest - later) / 2).clamp(min=0), torch.minimum(first, rest / 2)
        second = low + (high - low) * _uniform((n_systems,), generator)
        rest = rest - 2 * second
        values[:, i] = torch.stack([first, second], -1)
    low, high = ((rest - 1) / 2).clamp(min=0), rest / 3
    second = low + (high - low) * _uniform((n_systems,), generator)
    values[:, -1] = torch.stack([rest - 2 * second, second], -1)
    return values


def sample_systems(n_systems: int, generator: Generator) -> Tensor:
    """Sample iterated function systems of 2 to 8 affine maps.

    Returns
    -------
    Tensor of shape (n_systems, MAX_MAPS, 2, 3)
        A map sends a point p to matrix[:, :2] @ p + matrix[:, 2]; unused maps are zero.
    """
    systems = torch.zeros(n_systems, MAX_MAPS, 2, 3, device=generator.device)
    counts = torch.arange(n_systems) % (MAX_MAPS - 1) + 2
    for n_maps in range(2, MAX_MAPS + 1):
        rows = (counts == n_maps).nonzero().flatten()
        shape = (len(rows), n_maps)
        singular = torch.diag_embed(sample_singular_values(n_maps, len(rows), generator))
        signs = 2.0 * (_uniform((*shape, 2), generator) < 0.5) - 1
        left, right = (
            _rotation(2 * math.pi * _uniform(shape, generator), torch.ones(shape)) for _ in range(2)
        )
        linear = left[..., :2, :2] @ singular @ right[..., :2, :2] @ torch.diag_embed(signs)
        shift = 2 * _uniform((*shape, 2, 1), generator) - 1
        systems[rows, :n_maps] = torch.cat([linear, shift], -1)
    return systems


def draw_fractals(systems: Tensor, side: int, generator: Generator, n_steps: int = 80) -> Tensor:
    """Play the chaos game for all systems side by side.

    Parameters
    ----------
    systems : Tensor of shape (n_systems, MAX_MAPS, 2, 3)
        See `sample_systems`.
    side : int
        Height and width of the pictures, in pixels.
    generator : Generator
        Source of randomness.
    n_steps : int, default=80
        Steps drawn, of 256 points each.

    Returns
    -------
    Tensor of shape (n_systems, 2, side, side), uint8
        Logarithm of the point density, and the mean of a colour that each map pulls to its own value.
    """
    return torch.cat([_draw_chunk(chunk, side, generator, n_steps) for chunk in systems.split(256)])


def draw_blobs(outlines: Tensor, side: int) -> Tensor:
    """Fill closed curves r(angle) = 1 + sum of six harmonics; channel 1 is the depth below the outline.

    Parameters
    ----------
    outlines : Tensor of shape (n_blobs, 2, 6)
        Weights of the cosines and the sines, before division by the harmonic's number.
    side : int
        Height and width of the pictures, in pixels.

    Returns
    -------
    Tensor of shape (n_blobs, 2, side, side), uint8
    """
    axis = torch.linspace(-1, 1, side, device=outlines.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    order = torch.arange(1, 7, device=outlines.device)
    phase = order[:, None, None] * torch.atan2(y, x)  # (6, side, side)
    waves = torch.stack([phase.cos(), phase.sin()])  # (2, 6, side, side)
    radius = 0.6 * (1 + 0.4 * torch.einsum("nkh,khij->nij", outlines / order, waves)).clamp(
        0.1, 1.6
    )
    depth = radius - torch.hypot(x, y)
    cover = (depth * side / 2 + 0.5).clamp(0, 1)
    return (255 * torch.stack([cover, depth.clamp(0, 0.6) / 0.6], 1)).to(torch.uint8)


def draw_textures(n_textures: int, side: int, generator: Generator) -> Tensor:
    """Draw smooth noise, marble, bent gratings and mosaics in equal parts.

    Returns
    -------
    Tensor of shape (n_textures, side, side), uint8
        Each texture uses the whole range.
    """
    n = -(-n_textures // 4)
    device = generator.device
    noise = torch.cat([_power_noise(n, side, generator) for _ in range(3)]).chunk(3)
    marble = torch.sin(noise[1] * (1 + 5 * _uniform((n, 1, 1), generator)))
    axis = torch.linspace(0, 2 * math.pi, side, device=device)
    wave = 12 * _normal((n, 2, 1, 1), generator)
    bent = (
        wave[:, 0] * axis[:, None]
        + wave[:, 1] * axis
        + 2 * _uniform((n, 1, 1), generator) * noise[2]
    )
    mosaic = torch.stack([_mosaic(side, generator) for _ in range(n)])
    textures = torch.cat([noise[0], marble, torch.sin(bent), mosaic])[:n_textures]
    low, high = textures.amin((1, 2), keepdim=True), textures.amax((1, 2), keepdim=True)
    return (255 * (textures - low) / (high - low)).to(torch.uint8)


def draw_scenes(
    atlas: Atlas, n_scenes: int, size: int, generator: Generator, n_views: int = 2
) -> tuple[Tensor, Tensor]:
    """Compose random scenes and look at each several times.

    A scene fixes what is shown: a textured background, up to three shapes with their place, size and palette.
    A view varies it: the parameters of the fractals, the crop, flip, rotation, lighting, colours and sharpness.

    Parameters
    ----------
    atlas : Atlas
        From `draw_atlas`, on the generator's device.
    n_scenes : int
        Scenes to draw.
    size : int
        Height and width of the images, in pixels.
    generator : Generator
        Source of randomness.
    n_views : int, default=2
        Images of each scene.

    Returns
    -------
    images : Tensor of shape (n_views * n_scenes, 3, size, size), float32 in 0..1
        Image i shows scene i % n_scenes.
    shapes : Tensor of shape (n_scenes, N_OBJECTS), int64
        Which shapes of the atlas a scene holds, -1 for none.
    """
    n, b, g = n_scenes, n_scenes * n_views, generator
    shapes = torch.randint(len(atlas.shapes), (n, N_OBJECTS), generator=g, device=g.device)
    likely = torch.tensor([0.9, 0.6, 0.4], device=g.device)
    shapes = torch.where(_uniform((n, N_OBJECTS), g) < likely, shapes, -1)
    palettes = _palettes(n, g).repeat(n_views, 1, 1, 1)  # (b, N_OBJECTS + 1, 3 stops, RGB)
    palettes = palettes + 0.08 * _normal(palettes.shape, g)
    view = _views(b, g)

    texture = torch.randint(len(atlas.textures), (n, 2), generator=g, device=g.device)
    scale = (1.2 * _normal((n, 2), g) - 0.5).exp().clamp(0.1, 3).repeat(n_views, 1)
    angle = (2 * math.pi * _uniform((n, 2), g)).repeat(n_views, 1)
    gain = (1 + 3 * _uniform((n, 2, 1, 1), g) ** 2).repeat(n_views, 1, 1, 1)
    turn = _rotation(angle, scale * (0.2 * _normal((b, 2), g)).exp(), 2 * _normal((b, 2, 2), g))
    patterns = torch.cat(
        [
            _look_up(
                atlas.textures[texture[:, i], None].repeat(n_views, 1, 1, 1),
                turn[:, i] @ view,
                size,
                "reflection",
            )
            for i in range(2)
        ],
        1,
    )  # (b, 2, size, size)
    patterns = ((patterns - 0.5) * gain + 0.5).clamp(0, 1)
    images = _paint(palettes[:, 0], patterns[:, :1])

    centre = (1.4 * _uniform((n, N_OBJECTS, 2), g) - 0.7).repeat(n_views, 1, 1)
    centre = centre + 0.08 * _normal(centre.shape, g)
    zoom = (0.25 + _uniform((n, N_OBJECTS), g)).repeat(n_views, 1) * (
        0.15 * _normal((b, N_OBJECTS), g)
    ).exp()
    angle = (2 * math.pi * _uniform((n, N_OBJECTS), g)).repeat(n_views, 1)
    angle = angle + 0.2 * _normal(angle.shape, g)
    inverse = _rotation(angle, 1 / zoom) @ _translation(-centre)
    solid = (1 + 4 * _uniform((n, N_OBJECTS), g)).repeat(n_views, 1)
    blend = _uniform((n, N_OBJECTS), g).repeat(n_views, 1)
    variant = torch.randint(atlas.shapes.shape[1], (b, N_OBJECTS), generator=g, device=g.device)
    for i in range(N_OBJECTS):
        index = shapes[:, i].repeat(n_views)
        rows = (index >= 0).nonzero().flatten()
        if not len(rows):
            continue
        shape = _look_up(
            atlas.shapes[index[rows], variant[rows, i]], (inverse[:, i] @ view)[rows], size, "zeros"
        )
        cover = (shape[:, :1] * solid[rows, i, None, None, None]).clamp(max=1)
        tone = torch.lerp(shape[:, 1:], patterns[rows, 1:], blend[rows, i, None, None, None])
        images[rows] = torch.lerp(images[rows], _paint(palettes[rows, i + 1], tone), cover)
    return _photograph(images, g), shapes


def _draw_chunk(systems: Tensor, side: int, generator: Generator, n_steps: int) -> Tensor:
    """Draw a few systems at once; see `draw_fractals`."""
    n, n_points, device = len(systems), 256, systems.device
    weight = torch.linalg.det(systems[..., :2]).abs()
    used = systems.abs().sum((2, 3)) > 0
    weight = torch.where(used, weight.clamp(min=0.02), 0)  # (n, MAX_MAPS)
    edges = (weight / weight.sum(1, keepdim=True)).cumsum(1)[:, None, :-1]
    offset = MAX_MAPS * torch.arange(n, device=device)[:, None]
    flat = systems.reshape(-1, 6).T.contiguous()
    tints = _uniform((n * MAX_MAPS,), generator)
    x = y = torch.zeros(n, n_points, device=device)
    tint = torch.full((n, n_points), 0.5, device=device)
    counts = torch.zeros(n * side * side, device=device)
    colours = torch.zeros_like(counts)
    for step in range(-20, n_steps):
        which = (_uniform((n, n_points, 1), generator) > edges).sum(-1) + offset
        a, b, c, d, e, f = flat[:, which]
        x, y = a * x + b * y + c, d * x + e * y + f
        tint = (tint + tints[which]) / 2
        if step == -1:
            low = torch.stack([x.quantile(0.01, 1), y.quantile(0.01, 1)])[..., None]
            high = torch.stack([x.quantile(0.99, 1), y.quantile(0.99, 1)])[..., None]
            centre, extent = (low + high) / 2, (high - low).amax(0).clamp(min=1e-3) * 0.6
        if step >= 0:
            column = ((x - centre[0]) / extent + 1) * side / 2
            row = ((y - centre[1]) / extent + 1) * side / 2
            inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
            cell = (offset // MAX_MAPS * side + row.long()) * side + column.long()
            counts.scatter_add_(0, cell[inside], torch.ones_like(tint[inside]))
            colours.scatter_add_(0, cell[inside], tint[inside])
    density = counts.log1p().view(n, -1)
    density = density / density.quantile(0.99, 1, keepdim=True).clamp(min=1)
    picture = torch.stack([density.clamp(max=1), (colours / counts.clamp(min=1)).view(n, -1)], 1)
    return (255 * picture).to(torch.uint8).view(n, 2, side, side)


def _vary(systems: Tensor, generator: Generator) -> Tensor:
    """Scale every parameter by up to 10 %, the instances of one category in Anderson and Farrell."""
    return systems * (0.9 + 0.2 * _uniform(systems.shape, generator))


def _power_noise(n: int, side: int, generator: Generator) -> Tensor:
    """Draw noise with an amplitude spectrum 1 / frequency ** a, a in 0.6..2, stretched at random."""
    frequency = torch.fft.fftfreq(side, 1 / side, device=generator.device)
    stretch = (0.5 * _normal((n, 1, 1), generator)).exp()
    radius = torch.hypot(frequency[:, None] * stretch, frequency / stretch).clamp(min=1)
    spectrum = torch.fft.fft2(_normal((n, side, side), generator))
    noise = torch.fft.ifft2(spectrum / radius ** (0.6 + 1.4 * _uniform((n, 1, 1), generator))).real
    return (noise - noise.mean((1, 2), keepdim=True)) / noise.std((1, 2), keepdim=True)


def _mosaic(side: int, generator: Generator) -> Tensor:
    """Give every cell of a random Voronoi diagram one grey value."""
    n_cells = 6 + int(60 * _uniform((1,), generator).item() ** 2)
    axis = torch.linspace(0, 1, side, device=generator.device)
    pixels = torch.cartesian_prod(axis, axis)
    nearest = torch.cdist(pixels, _uniform((n_cells, 2), generator)).argmin(1)
    return _uniform((n_cells,), generator)[nearest].view(side, side)


def _palettes(n: int, generator: Generator) -> Tensor:
    """Draw three colours for the background and for each object: (n, N_OBJECTS + 1, 3, RGB)."""
    colours = _uniform((n, N_OBJECTS + 1, 3, 3), generator)
    grey = colours.mean(-1, keepdim=True)
    saturation = _uniform((n, N_OBJECTS + 1, 1, 1), generator)
    spread = _uniform((n, N_OBJECTS + 1, 1, 1), generator)
    colours = grey + 1.3 * saturation * (colours - grey)
    return torch.lerp(colours[:, :, :1], colours, 0.2 + 0.8 * spread)


def _views(n: int, generator: Generator) -> Tensor:
    """Draw matrices (n, 3, 3) from the coordinates of an image to those of its scene, both in -1..1."""
    zoom = 0.4 + 0.7 * _uniform((n,), generator)
    shift = (2 * _uniform((n, 2), generator) - 1) * (1.1 - zoom)[:, None].clamp(min=0.1)
    matrix = _rotation(0.15 * _normal((n,), generator), zoom, shift)
    flip = 2.0 * (_uniform((n, 1), generator) < 0.5) - 1
    stretch = (0.12 * _normal((n, 1), generator)).exp()
    matrix[:, :, 0] *= flip * stretch
    matrix[:, :, 1] /= stretch
    return matrix


def _photograph(images: Tensor, generator: Generator) -> Tensor:
    """Vary lighting and sharpness: half of the images are seen at half of the resolution."""
    n = len(images)
    contrast = (0.25 * _normal((n, 1, 1, 1), generator)).exp()
    light = 0.1 * _normal((n, 1, 1, 1), generator)
    cast = 0.05 * _normal((n, 3, 1, 1), generator)
    images = (images - 0.5) * contrast + (0.5 + light + cast)
    grey = (_uniform((n,), generator) < 0.15).nonzero().flatten()
    images[grey] = images[grey].mean(1, keepdim=True)
    coarse = (_uniform((n,), generator) < 0.5).nonzero().flatten()
    if len(coarse):
        half = F.avg_pool2d(images[coarse], 2)
        size = images.shape[-2:]
        images[coarse] = F.interpolate(half, size, mode="bilinear", align_corners=False)
    return images.clamp_(0, 1)


def _paint(palette: Tensor, tone: Tensor) -> Tensor:
    """Colour tones (n, 1, h, w) along the Bezier curve through a palette (n, 3, RGB)."""
    first, middle, last = palette[..., None, None].unbind(1)
    linear, square = 2 * (middle - first), first - 2 * middle + last
    return torch.addcmul(first, torch.addcmul(linear, square, tone), tone)  # (n, 3, h, w)


def _look_up(pictures: Tensor, matrix: Tensor, size: int, outside: str) -> Tensor:
    """Sample uint8 pictures (n, c, side, side) where matrices (n, 3, 3) send the pixels of an image."""
    grid = F.affine_grid(matrix[:, :2], [len(matrix), 1, size, size], align_corners=False)
    pictures = pictures.float().div_(255)
    return F.grid_sample(pictures, grid, padding_mode=outside, align_corners=False)


def _rotation(angle: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """Build matrices (..., 3, 3) that rotate, scale and then shift."""
    matrix = _translation(
        torch.zeros(*angle.shape, 2, device=angle.device) if shift is None else shift
    )
    cos, sin = scale.to(angle) * angle.cos(), scale.to(angle) * angle.sin()
    matrix[..., :2, :2] = torch.stack([cos, -sin, sin, cos], -1).unflatten(-1, (2, 2))
    return matrix


def _translation(shift: Tensor) -> Tensor:
    """Build matrices (..., 3, 3) that add shifts (..., 2)."""
    matrix = torch.eye(3, device=shift.device).repeat(*shift.shape[:-1], 1, 1)
    matrix[..., :2, 2] = shift
    return matrix


def _uniform(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
