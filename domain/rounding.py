"""Division of integers with the direction of rounding said aloud."""


def divide_down(numerator: int, denominator: int) -> int:
    """Return the quotient rounded towards minus infinity."""
    return numerator // denominator


def divide_up(numerator: int, denominator: int) -> int:
    """Return the quotient rounded towards plus infinity."""
    return -(-numerator // denominator)
