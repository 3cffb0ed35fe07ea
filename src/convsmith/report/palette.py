"""Colours that stay apart for every kind of colour vision (Okabe and Ito 2008, "Color Universal Design")."""

ORANGE, SKY, GREEN, YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILLION, PURPLE, GREY = "#0072b2", "#d55e00", "#cc79a7", "#6e7781"

# In the order in which a picture takes them; yellow is too light for lines and text.
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)


def tint(colour: str, share: float = 0.16) -> str:
    """The colour on white paper, `share` of it strong: a ground on which text stays legible."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)
