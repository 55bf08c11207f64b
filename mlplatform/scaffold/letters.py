"""Letters in ASCII: those that no accent makes, Greek and Cyrillic, roughly as passports write them."""

import unicodedata

__all__ = ["as_ascii"]

# ruff: noqa: RUF001 (letters that look like others are what this is about)
_PAIRS = """
ß-ss ẞ-SS æ-ae Æ-AE œ-oe Œ-OE ø-o Ø-O ł-l Ł-L đ-d Đ-D ð-d Ð-D þ-th Þ-Th ı-i ħ-h ŋ-ng µ-u μ-m
№-no €-eur £-gbp $-usd %-_pct
α-a β-b γ-g δ-d ε-e ζ-z η-i θ-th ι-i κ-k λ-l ν-n ξ-x ο-o π-p ρ-r σ-s ς-s τ-t υ-y φ-f χ-ch ψ-ps ω-o
а-a б-b в-v г-g д-d е-e ё-e ж-zh з-z и-i й-i к-k л-l м-m н-n о-o п-p р-r с-s т-t у-u ф-f х-kh ц-ts ч-ch ш-sh щ-shch
ъ- ы-y ь- э-e ю-iu я-ia і-i ї-i є-ie ґ-g
"""
_LETTERS = {ord(pair[0]): pair[2:] for pair in _PAIRS.split()}


def as_ascii(text: str) -> str:
    """The text without accents and in ASCII letters; what has none here is left out."""
    # Composed first: a Cyrillic letter with a breve is another letter, and not one with an accent.
    written = unicodedata.normalize("NFC", text)
    lower = "".join(
        each if ord(each) in _LETTERS or "LATIN" in unicodedata.name(each, "") else each.lower() for each in written
    )
    parts = unicodedata.normalize("NFKD", lower.translate(_LETTERS))
    return parts.translate(_LETTERS).encode("ascii", "ignore").decode()
