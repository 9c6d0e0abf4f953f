"""The limits that the system sets to the process."""

import resource


def allow_many_files() -> None:
    """Allow as many open files as the system lets the process have: each connection is one.

    Login shells and service managers start processes with 1,024, and let them ask for many more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        # Some systems name a hard limit that they do not grant; what was there stays.
        return
