"""One loop: state, step, evaluation, optimizers, schedules, log. It knows no recipe and no network by name."""
