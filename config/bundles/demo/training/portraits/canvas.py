"""Drawing primitives in canvas units on an oversampled Pillow picture, and the mixing of colours."""

from PIL import Image, ImageChops, ImageDraw

OUTLINE = .022  # width of outlines in canvas units


def mix(a, b, t):
    return tuple(int(round(x + (y - x) * t)) for x, y in zip(a, b))


def dark(colour, t=.35):
    return mix(colour, (30, 20, 50), t)


def light(colour, t=.3):
    return mix(colour, (255, 255, 255), t)


class Canvas:
    """A square picture, `oversampling` times larger while it is drawn."""

    def __init__(self, size, oversampling, background):
        self.oversampling = oversampling
        self.side = size * oversampling
        self.image = Image.new("RGB", (self.side, self.side), background)
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self, points):
        return [((x + 1) * self.side / 2, (y + 1) * self.side / 2) for x, y in points]

    def width(self, units):
        return max(1, int(units * self.side / 2))

    def poly(self, points, fill, outline=None, width=OUTLINE):
        """A filled shape, an outline, or both."""
        corners = self.pixels(points)
        if fill is not None:
            self.pen.polygon(corners, fill=fill)
        if outline is not None:
            self.pen.line(corners + [corners[0], corners[1]], fill=outline, width=self.width(width), joint="curve")

    def line(self, points, colour, width):
        """An open line with round ends."""
        corners = self.pixels(points)
        w = self.width(width)
        self.pen.line(corners, fill=colour, width=w, joint="curve")
        for x, y in (corners[0], corners[-1]):
            self.pen.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=colour)

    def shade(self, points, colour, dx, dy):
        """Colours the part of a shape that the shape moved by (dx, dy) does not cover."""
        whole, moved = (Image.new("L", (self.side, self.side), 0) for _ in range(2))
        ImageDraw.Draw(whole).polygon(self.pixels(points), fill=255)
        ImageDraw.Draw(moved).polygon(self.pixels([(x + dx, y + dy) for x, y in points]), fill=255)
        self.image.paste(colour, (0, 0), ImageChops.subtract(whole, moved))

    def finished(self):
        return self.image.reduce(self.oversampling) if self.oversampling > 1 else self.image
