"""A cut-out figure set before another background, without a trace of the old one (Pillow).

Where a figure ends, a picture's pixels are half figure and half background. Blending such a pixel with a
new background keeps the old one in it, as a halo. So the colours of all pixels that are not wholly figure
are first replaced by those of the figure beside them; the cut-out's transparency is kept, hair and all.
"""

from __future__ import annotations

from PIL import Image, ImageColor, ImageFilter, ImageMath, ImageOps, ImageStat

from generation.posemap import Box

# Alpha from here up is wholly figure; such a pixel's colour can be trusted when its neighbours are so too.
SOLID = 250
# Fainter than this is a cutter's dirt, not hair.
FAINTEST = 10
# The squares over which the figure's colours are drawn outwards, from afar to near, and the least share of
# solid pixels in one that makes its mean worth trusting.
SQUARES, LEAST_SHARE = (512, 128, 32, 8, 4, 2), 6
# Half the width of the band around the edge that a provider may repaint, where the short side is 1024.
SEAM_OF_1024 = 10


def compose(cut_out: Image.Image, background: Image.Image) -> Image.Image:
    """Set a cut-out (with alpha) before a background, which is scaled and cropped to cover. RGB, the cut-out's size."""
    figure = _cleaned(cut_out.convert("RGBA"))
    ground = ImageOps.fit(background.convert("RGB"), figure.size, Image.Resampling.LANCZOS)
    ground.paste(figure, mask=figure.getchannel("A"))
    return ground


def cut_by(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Cut a figure out by a mask that is white where it stands, of any size."""
    figure = picture.convert("RGB")
    figure.putalpha(mask.convert("L").resize(figure.size, Image.Resampling.BILINEAR))
    return figure


def plain(colour: str, size: tuple[int, int]) -> Image.Image:
    """A background of one colour, "#RRGGBB". Raises ValueError for anything else."""
    return Image.new("RGB", size, ImageColor.getrgb(colour))


def seam(cut_out: Image.Image) -> Image.Image:
    """The band around a figure's edge, white on black: where a provider may paint figure and ground together."""
    alpha = cut_out.convert("RGBA").getchannel("A").point(lambda value: 255 if value >= 128 else 0)
    reach = max(1, SEAM_OF_1024 * min(alpha.size) / 1024)
    # Blurred, a hard edge is grey as far as the blur reaches, on both its sides.
    return alpha.filter(ImageFilter.BoxBlur(reach)).point(lambda value: 255 if 3 <= value <= 252 else 0)


def frame(seam: Image.Image) -> Box | None:
    """Where the figure stands whose edge a seam follows, in shares; None where there is no edge."""
    found = seam.getbbox()
    if found is None:
        return None
    left, top, right, bottom = found
    return Box(left / seam.width, top / seam.height, right / seam.width, bottom / seam.height)


def is_cut_out(picture: Image.Image) -> bool:
    """Has the picture a figure before nothing: some of it wholly clear, some wholly there?"""
    if "A" not in picture.getbands():
        return False
    counts = picture.getchannel("A").histogram()
    least = picture.width * picture.height // 1000
    return sum(counts[:FAINTEST]) > least and sum(counts[SOLID:]) > least


def _cleaned(figure: Image.Image) -> Image.Image:
    """The figure with its own colours up to the last pixel of its edge, and without dirt."""
    alpha = figure.getchannel("A").point(lambda value: 0 if value < FAINTEST else value)
    # Eroded by a pixel: the outermost solid ones are often tinted already.
    solid = alpha.point(lambda value: 255 if value >= SOLID else 0).filter(ImageFilter.MinFilter(3))
    figure = _bled(figure.convert("RGB"), solid)
    figure.putalpha(alpha)
    return figure


def _bled(picture: Image.Image, solid: Image.Image) -> Image.Image:
    """The colours of what is solid, drawn outwards over everything else: from afar first, then from ever nearer.

    It begins with the mean of all. At each level a pixel is the mean of the solid ones in its square; where
    there are none it keeps what the coarser level gave it.
    """
    if solid.getbbox() is None:
        return picture
    known = Image.composite(picture, Image.new("RGB", picture.size), solid)
    drawn = Image.new("RGB", (1, 1), tuple(int(mean) for mean in ImageStat.Stat(picture, solid).mean))
    for square in SQUARES:
        sums, share = known.reduce(square), solid.reduce(square)
        means = Image.merge("RGB", [_divided(band, share) for band in sums.split()])
        drawn = drawn.resize(means.size, Image.Resampling.BILINEAR)
        drawn.paste(means, mask=share.point(lambda value: 255 if value >= LEAST_SHARE else 0))
    drawn = drawn.resize(picture.size, Image.Resampling.BILINEAR)
    drawn.paste(picture, mask=solid)
    return drawn


def _divided(band: Image.Image, share: Image.Image) -> Image.Image:
    """Each pixel's sum over its share, as one band of 0 to 255."""
    return ImageMath.lambda_eval(
        lambda args: args["convert"](args["min"](args["band"] * 255 / args["max"](args["share"], 1), 255), "L"),
        band=band,
        share=share,
    )
