"""The figures of the lectures: each computed by the package and laid beside what the slides print."""
