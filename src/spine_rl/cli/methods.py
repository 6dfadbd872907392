"""`spine methods`: the presets, a line and a source each."""

from spine_rl.presets import ABOUT, get_preset

_HEADS = ("preset", "label rule", "tokens", "band", "what it is", "source")


def methods() -> None:
    """Lists the presets of `spine train`: label rule, tokens, band, what each is, and its source."""
    rows = [_HEADS, *(_describe(name) for name in ABOUT)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _describe(name: str) -> tuple[str, ...]:
    fields = get_preset(name)
    return name, fields["label_rule"], fields["fork_selector"], fields["band"], *ABOUT[name]
