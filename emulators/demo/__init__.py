"""`clinicloop demo`: the lives of many contracts, played and checked."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def demo(customers: int = 100, seed: int = 7) -> None:
        """Play the journey on a fresh local cloud, print a timeline, check the facts."""
        from emulators.demo.journey import play

        raise typer.Exit(0 if play(customers, seed) else 1)
