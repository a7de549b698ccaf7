"""By how much FRI folds in each layer: what all who prove and describe it agree on."""


def fold_schedule(height_log: int, fold_log: int, final_log: int) -> list[int]:
    """Logs of the folds from degrees below 2^height_log until they are below 2^final_log."""
    folds = []
    bound = height_log
    while bound > final_log:
        folds.append(min(fold_log, bound - final_log))
        bound -= folds[-1]
    return folds
