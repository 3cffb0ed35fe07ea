"""One loop: state, step, evaluation, optimisers, schedules, log. It knows no recipe and no network by name."""
