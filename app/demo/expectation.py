"""What the story promises; the first promise that is not kept ends it."""


class Unmet(Exception):
    """Something was not as it had to be; the text is for the person at the terminal."""


class Expectations:
    """Judges, and remembers what held."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def equal(self, what: str, *, expected: object, actual: object) -> None:
        if actual != expected:
            raise Unmet(f"{what}: expected {expected}, was {actual}")
        self.held.append(what)

    def true(self, what: str, *, that: bool) -> None:
        if not that:
            raise Unmet(what)
        self.held.append(what)
