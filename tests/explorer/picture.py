"""Makes the README's picture of the explorer: the page, and below it the backward pass of a cell.

python -m minicnn explore MODEL.npz --no-open
python -m tests.explorer.picture explorer.html benchmarks/results/explorer.png
"""

import io
import sys
from pathlib import Path

from tests.explorer.browsing import Visit, chromium

WIDTH, COLOURS = 1400, 256


def main(page, output):
    from PIL import Image

    with chromium() as browser:
        context = browser.new_context(viewport={"width": WIDTH, "height": 900})
        visit = Visit(context, Path(page).resolve(), "#layer=conv2d&mode=forward")
        shots = [visit.page.screenshot(full_page=True)]
        visit.go("layer=conv2d_1&mode=backward&step=12")
        shots.append(visit.page.locator("#inspector").screenshot())
    whole, part = (Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots)
    left = (WIDTH - part.width) // 2
    end = whole.height - left  # the margin at the bottom is that of the sides
    picture = Image.new("RGB", (WIDTH, end + part.height + left), whole.getpixel((0, 0)))
    picture.paste(whole, (0, 0))
    picture.paste(part, (left, end))
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(output, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
