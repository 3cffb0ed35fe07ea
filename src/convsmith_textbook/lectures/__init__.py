"""The figures of the lectures, each computed and compared with the printed one."""
