"""What a run says about its losses."""

from edgedl.train.run_folder import Run


def first_and_last_loss(run: Run) -> tuple[float, float]:
    """Return the mean of the first three losses noted, and of the last three."""
    losses = [loss for _, loss, _ in run.metrics["losses"]]
    return sum(losses[:3]) / 3, sum(losses[-3:]) / 3
