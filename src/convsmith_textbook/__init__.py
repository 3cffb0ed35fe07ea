"""The figures and experiments of the lectures, computed with Convsmith."""
